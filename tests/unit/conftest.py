from hypothesis import settings

# No file of examples in the checkout, and no verdict on how busy the machine is.
settings.register_profile("unit", database=None, deadline=None)
settings.load_profile("unit")
