"""The doors for browsers and programs: the only folder that knows Flask-AppBuilder's views and HTTP."""
