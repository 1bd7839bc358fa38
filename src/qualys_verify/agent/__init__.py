"""What a Qualys Cloud Agent is: text in, values out. Knows no host and no pytest."""
