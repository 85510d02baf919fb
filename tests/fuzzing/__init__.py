"""Bad input by the thousand, and the one rule that every case is held to.

``rule`` says what may happen, ``seeds`` gives what is well formed, ``damage`` spoils it, and
``targets`` are the doors of the library. Hypothesis tries each some hundred times in the tests;
``python -m fuzzing`` (``make fuzz``) lets atheris try it thirty thousand times, and records it.
"""
