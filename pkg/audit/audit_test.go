package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/attune/attune/pkg/audit"
	"github.com/attune/attune/pkg/database/dbtest"
	"github.com/attune/attune/pkg/natsserver/natstest"
)

// filled gives an audit with some rows, and its head.
func filled(t *testing.T, n int) (*audit.Store, *pgxpool.Pool, audit.Head) {
	t.Helper()
	db := dbtest.New(t)
	s := audit.New(db)
	for i := range n {
		_, err := s.Append(t.Context(), audit.Entry{
			Actor: "user:ann", Address: "127.0.0.1", Action: "enable-rule", Kind: "rules", Object: fmt.Sprintf("demo.r%d", i), Outcome: audit.Done,
			Before: json.RawMessage(`{"enabled": false,  "n": 9007199254740993}`), After: json.RawMessage(`{"enabled":true}`),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	head, err := s.Head(t.Context())
	if err != nil || head.Seq != int64(n) {
		t.Fatalf("head %v, %v", head, err)
	}
	return s, db, head
}

func verify(t *testing.T, s *audit.Store, heads ...audit.Head) audit.Report {
	t.Helper()
	r, err := s.Verify(t.Context(), heads...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnAuditThatNobodyTouchedIsWhole(t *testing.T) {
	t.Parallel()
	s, _, head := filled(t, 5)
	first := verify(t, s, head)
	if !first.OK() || first.Rows != 5 || first.Head != head {
		t.Errorf("%+v", first)
	}
	if _, err := s.Append(t.Context(), audit.Entry{Action: "revoke-token", Object: "ci\x00\xff", Outcome: audit.Refused}); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, s, head, first.Head); !r.OK() || r.Rows != 6 {
		t.Errorf("with another row: %+v", r)
	}
	empty := audit.New(dbtest.New(t))
	if r := verify(t, empty); !r.OK() || r.Rows != 0 {
		t.Errorf("without rows: %+v", r)
	}
}

func TestTheTableTakesNoChange(t *testing.T) {
	t.Parallel()
	s, db, _ := filled(t, 2)
	for _, sql := range []string{`UPDATE audit SET actor = 'x'`, `DELETE FROM audit`, `TRUNCATE audit`, `UPDATE audit SET actor = 'x' WHERE seq = 99`} {
		if _, err := db.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if r := verify(t, s); !r.OK() {
		t.Errorf("%+v", r)
	}
}

// Whoever owns the table can take its trigger away; the hashes show what was done.
func TestWhatWasDoneToRowsIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql   string
		seq   int64
		words string
	}{
		"an actor changed":          {`UPDATE audit SET actor = 'admin' WHERE seq = 3`, 3, "was changed"},
		"a time changed":            {`UPDATE audit SET at = at + interval '1 microsecond' WHERE seq = 3`, 3, "was changed"},
		"a document's space":        {`UPDATE audit SET before = '{"enabled":false,"n":9007199254740993}' WHERE seq = 3`, 3, "was changed"},
		"a document taken away":     {`UPDATE audit SET after = NULL WHERE seq = 3`, 3, "was changed"},
		"an outcome":                {`UPDATE audit SET outcome = 'refused' WHERE seq = 1`, 1, "was changed"},
		"text moved over a border":  {`UPDATE audit SET kind = 'rulesd', object = substr(object, 2) WHERE seq = 2`, 2, "was changed"},
		"a row removed":             {`DELETE FROM audit WHERE seq = 3`, 4, "row 3 is missing"},
		"rows removed":              {`DELETE FROM audit WHERE seq IN (2, 3)`, 4, "rows 2 to 3 are missing"},
		"the first removed":         {`DELETE FROM audit WHERE seq = 1`, 2, "row 1 is missing"},
		"two rows in turned places": {`UPDATE audit SET seq = CASE seq WHEN 2 THEN 102 ELSE 103 END WHERE seq IN (2, 3); UPDATE audit SET seq = CASE seq WHEN 102 THEN 3 ELSE 2 END WHERE seq > 100`, 2, "was put here later"},
		"a hash made anew":          {`UPDATE audit SET hash = sha256('x') WHERE seq = 3`, 4, "was put here later"},
		"the end cut off":           {`DELETE FROM audit WHERE seq >= 4`, 5, "is missing with all after row 3"},
		"everything removed":        {`DELETE FROM audit`, 5, "is missing with all after row 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, db, head := filled(t, 5)
			if _, err := db.Exec(t.Context(), `ALTER TABLE audit DISABLE TRIGGER append_only; `+c.sql); err != nil {
				t.Fatal(err)
			}
			r := verify(t, s, head)
			if r.OK() {
				t.Fatal("nothing was found")
			}
			for _, f := range r.Faults {
				if f.Seq == c.seq && strings.Contains(f.Message, c.words) {
					return
				}
			}
			t.Errorf("found %v, want row %d: %s", r.Faults, c.seq, c.words)
		})
	}
}

// A head that was noted finds even an audit that was made anew as a whole, with hashes that fit.
func TestAnAuditMadeAnewDoesNotHaveTheHead(t *testing.T) {
	t.Parallel()
	_, _, head := filled(t, 3)
	other, _, _ := filled(t, 4)
	if r := verify(t, other); !r.OK() {
		t.Fatalf("by itself: %+v", r)
	}
	r := verify(t, other, head)
	if len(r.Faults) != 1 || r.Faults[0].Seq != 3 {
		t.Errorf("%+v", r)
	}
}

func TestRowsOfManyProcessesAreOneChain(t *testing.T) {
	t.Parallel()
	s, db, _ := filled(t, 0)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			mine := audit.New(db)
			for range 10 {
				if _, err := mine.Append(t.Context(), audit.Entry{Actor: fmt.Sprint(w), Action: "a", Outcome: audit.Done}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if r := verify(t, s); !r.OK() || r.Rows != 40 {
		t.Errorf("%+v", r)
	}
}

func TestListsShowWhatWasBegunOnlyWithoutItsEnd(t *testing.T) {
	t.Parallel()
	s, _, _ := filled(t, 2)
	begun, err := s.Append(t.Context(), audit.Entry{Actor: "token:ci", Action: "install-pack", Kind: "packs", Outcome: audit.Begun})
	if err != nil {
		t.Fatal(err)
	}
	list := func(f audit.Filter, before int64) (seqs []int64) {
		rows, err := s.List(t.Context(), f, before, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			seqs = append(seqs, r.Seq)
		}
		return seqs
	}
	want := func(got []int64, seqs ...int64) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(seqs) {
			t.Errorf("rows %v, want %v", got, seqs)
		}
	}
	want(list(audit.Filter{}, 0), 3, 2, 1)
	if _, err := s.Append(t.Context(), audit.Entry{Actor: "token:ci", Action: "install-pack", Kind: "packs", Object: "demo", Outcome: audit.Done, Of: begun.Seq}); err != nil {
		t.Fatal(err)
	}
	want(list(audit.Filter{}, 0), 4, 2, 1)
	want(list(audit.Filter{Actor: "user:ann"}, 2), 1)
	want(list(audit.Filter{Object: "demo"}, 0), 4)
	want(list(audit.Filter{Since: begun.At.Add(1 << 40)}, 0))
}

func TestTheHeadOnTheBusNeverGoesBack(t *testing.T) {
	t.Parallel()
	b := natstest.New(t)
	s, _, head := filled(t, 2)
	if _, ok, err := audit.Anchored(t.Context(), b.JS); ok || err != nil {
		t.Errorf("before: %v, %v", ok, err)
	}
	for _, h := range []audit.Head{head, {Seq: 1, Hash: strings.Repeat("0", 64)}} {
		if err := audit.Anchor(t.Context(), b.JS, h); err != nil {
			t.Fatal(err)
		}
	}
	kept, ok, err := audit.Anchored(t.Context(), b.JS)
	if !ok || err != nil || kept != head {
		t.Errorf("kept %v, %v, %v", kept, ok, err)
	}
	if r := verify(t, s, kept); !r.OK() {
		t.Errorf("%+v", r)
	}
}

func TestHeadsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	h := audit.Head{Seq: 12, Hash: strings.Repeat("0f", 32)}
	if got, err := audit.ParseHead(h.String()); err != nil || got != h {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "12", ":", "-1:" + h.Hash, "12:" + h.Hash[2:], "12:zz" + h.Hash[2:], "a:" + h.Hash} {
		if _, err := audit.ParseHead(text); !errors.Is(err, audit.ErrHead) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
