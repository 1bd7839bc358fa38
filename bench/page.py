def write(): return 0
def check(): return 0
