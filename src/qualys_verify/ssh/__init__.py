"""SSH in this process: as strict as OpenSSH, by OpenSSH's own reading of its configuration, at a tenth of its cost.

Whatever is not done here in the same way goes through OpenSSH itself; see `directives`.
"""
