def main(json):
    return 0
