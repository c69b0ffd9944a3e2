"""The compiler: Python source -> IR -> passes -> IR."""
