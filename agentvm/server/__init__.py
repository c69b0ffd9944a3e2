"""`agentvm serve`: runs over HTTP, and the model API beside them.

`app.create_app` makes the application; `settings.Settings` says how it is guarded.
"""
