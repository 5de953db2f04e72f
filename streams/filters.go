package streams

// ExecutionsOf matches the subjects of all executions of an action.
func ExecutionsOf(pack, action string) (string, error) {
	subject, err := join(prefixExecution, pack, action)
	if err != nil {
		return "", err
	}
	return subject + ".*", nil
}

// AnyDecisionSubject matches the subject of the decisions about the event with that id, whatever its trigger.
func AnyDecisionSubject(eventID string) (string, error) {
	if _, err := Token(eventID); err != nil {
		return "", err
	}
	return prefixDecision + ".*.*." + eventID, nil
}

// AnyRuleSetSubject matches the subject of the set of rules with that id, whatever its trigger.
func AnyRuleSetSubject(id string) (string, error) {
	if _, err := Token(id); err != nil {
		return "", err
	}
	return prefixRuleSet + ".*.*." + id, nil
}
