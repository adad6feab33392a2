"""How the classifier of the crisis screen is made: corpus, training, export. Nothing here is imported at run time."""
