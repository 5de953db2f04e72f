package rules

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/attune/attune/pkg/pack"
	"github.com/attune/attune/streams"
)

func aTrigger(t *testing.T, name string) *trigger {
	t.Helper()
	snap := manyRules(3, 0, "true")
	for _, tr := range newIndex(snap, nil).triggers {
		if len(tr.rules) == 3 {
			tr.ref = pack.Ref{Pack: "bench", Name: name}
			return tr
		}
	}
	t.Fatal("no trigger has the rules")
	return nil
}

func pending(t *testing.T, s *ruleSets) (ids []string) {
	t.Helper()
	msgs, err := setMessages(s.pending, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		var set streams.RuleSet
		if err := json.Unmarshal(m.Data, &set); err != nil || !streams.IsRuleSet(m.Subject) || len(set.Rules) != 3 || time.Since(set.At) > time.Minute {
			t.Errorf("%s: %+v, %v", m.Subject, set, err)
		}
		ids = append(ids, set.ID)
	}
	return ids
}

func TestASetIsRecordedBeforeItIsNamedAndAgainEveryDay(t *testing.T) {
	t.Parallel()
	s := newRuleSets()
	one, other := aTrigger(t, "one"), aTrigger(t, "other")
	name := func(of *trigger) string {
		id, err := s.name(of)
		if err != nil || id == "" {
			t.Fatalf("id %q, %v", id, err)
		}
		return id
	}
	a := name(one)
	if again := name(one); again != a {
		t.Errorf("%s, then %s", a, again)
	}
	b := name(other)
	if got := pending(t, s); len(got) != 2 || got[0] != a || got[1] != b {
		t.Errorf("to be recorded are %v, want %s and %s", got, a, b)
	}
	if got := pending(t, s); len(got) != 2 {
		t.Errorf("not handed over yet, to be recorded are %v", got)
	}
	s.handedOver(time.Now())
	name(one)
	if got := pending(t, s); len(got) != 0 {
		t.Errorf("handed over, to be recorded are %v", got)
	}
	s.known[a] = time.Now().Add(-setAgain)
	name(one)
	name(other)
	if got := pending(t, s); len(got) != 1 || got[0] != a {
		t.Errorf("a day later to be recorded are %v, want %s", got, a)
	}
}

func TestATriggerWithoutRulesHasNoSet(t *testing.T) {
	t.Parallel()
	if id, err := newRuleSets().name(&trigger{}); id != "" || err != nil {
		t.Errorf("id %q, %v", id, err)
	}
}
