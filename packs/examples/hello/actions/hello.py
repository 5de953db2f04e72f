def run(name):
    print("Hello, %s!" % name)
    return {"greeted": name}
