"""Suggests labels for an issue by the words in it. The words are in labels.json, beside this file's folder."""
import json
import os
import re

LABELS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "labels.json")


def words(text):
    return set(re.findall(r"[a-z0-9']+", text.lower()))


def run(repository, number, title, body=None, labels=()):
    with open(LABELS, encoding="utf-8") as f:
        known = json.load(f)
    said = words(title + "\n" + (body or ""))
    because = {label: sorted(said.intersection(hints)) for label, hints in known.items()}
    because = {label: found for label, found in because.items() if found}
    add = sorted(label for label in because if label not in labels)
    print("%s#%d: %s" % (repository, number, ", ".join(add) or "nothing to add"))
    return {"add": add, "because": because}
