"""What there is to see of runs, as plain JSON: the command line, the server and the web page show it."""
