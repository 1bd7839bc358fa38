"""A pretend Qualys Cloud Agent: same files, same commands, same log; no scan, no network.

Nothing here is copied from the vendor. The formats follow what is publicly known of the agent,
so that the suite can be shown, and tested, on machines where no agent may be installed.
"""
