"""How properties are tried out: as many examples as ever, and no limit to the time that one takes on a busy machine."""

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
