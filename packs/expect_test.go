package packs_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/attune/attune/pkg/api"
)

// payload is what this test reads of GitHub's webhooks.
type payload struct {
	kind   string
	Action string
	Number int
	Issue  struct {
		Number int
		Title  string
		Body   string
		Labels []struct{ Name string }
	}
	PullRequest struct {
		Draft                bool
		Body                 string
		Additions, Deletions int
	} `json:"pull_request"`
	Ref, After string
	Deleted    bool
	Commits    []struct{ ID, Message string }
	Release    struct {
		TagName           string `json:"tag_name"`
		Name              string
		Body              string
		Draft, Prerelease bool
	}
	WorkflowRun struct {
		Conclusion string
		HeadBranch string `json:"head_branch"`
		HeadSHA    string `json:"head_sha"`
	} `json:"workflow_run"`
	Repository struct {
		FullName      string `json:"full_name"`
		DefaultBranch string `json:"default_branch"`
	}
}

func parse(t *testing.T, d delivery) payload {
	t.Helper()
	p := payload{kind: d.kind}
	if err := json.Unmarshal(d.payload, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p payload) name() string { return strings.TrimSpace(p.kind + " " + p.Action + " " + p.Ref) }

// want is what a rule is to decide: the action that it asks for, or what its reason is to name.
type want struct{ action, because string }

func (p payload) wanted() map[string]want {
	switch p.kind {
	case "issues":
		return map[string]want{"github.triage-issue": p.triage(), "github.report-security-issue": p.security()}
	case "pull_request":
		return map[string]want{"github.size-pull-request": p.size()}
	case "push":
		return map[string]want{"github.note-push": p.notes()}
	case "release":
		return map[string]want{"github.announce-release": p.announce()}
	case "workflow_run":
		return map[string]want{"github.deploy": p.deploy(), "github.report-broken-workflow": p.broken()}
	}
	return nil
}

func (p payload) seen() string { return fmt.Sprintf("event.payload.action is %q", p.Action) }

func (p payload) triage() want {
	if slices.Contains([]string{"opened", "edited", "reopened"}, p.Action) {
		return want{action: "github.triage"}
	}
	return want{because: p.seen()}
}

func (p payload) security() want {
	text := strings.ToLower(p.Issue.Title + " " + p.Issue.Body)
	alarming := func(w string) bool { return strings.Contains(text, w) }
	switch {
	case p.Action != "opened":
		return want{because: p.seen()}
	case !slices.ContainsFunc([]string{"vulnerab", "exploit", "security hole", "cve-"}, alarming):
		return want{because: "event.payload.issue"}
	}
	return want{action: "core.log"}
}

func (p payload) size() want {
	switch {
	case !slices.Contains([]string{"opened", "reopened", "synchronize", "ready_for_review"}, p.Action):
		return want{because: p.seen()}
	case p.PullRequest.Draft:
		return want{because: "event.payload.pull_request.draft"}
	}
	return want{action: "github.size"}
}

func (p payload) notes() want {
	branch, onBranch := strings.CutPrefix(p.Ref, "refs/heads/")
	switch {
	case p.Deleted:
		return want{because: "event.payload.deleted"}
	case !onBranch || branch != p.Repository.DefaultBranch:
		return want{because: fmt.Sprintf("event.payload.ref is %q", p.Ref)}
	case len(p.Commits) == 0:
		return want{because: "event.payload.commits"}
	}
	return want{action: "github.notes"}
}

func (p payload) announce() want {
	switch {
	case p.Action != "published":
		return want{because: p.seen()}
	case p.Release.Draft || p.Release.Prerelease:
		return want{because: "event.payload.release"}
	}
	return want{action: "github.announce"}
}

func (p payload) deploy() want {
	switch {
	case p.Action != "completed":
		return want{because: p.seen()}
	case p.WorkflowRun.Conclusion != "success":
		return want{because: "event.payload.workflow_run.conclusion is"}
	case p.WorkflowRun.HeadBranch != p.Repository.DefaultBranch:
		return want{because: "event.payload.workflow_run.head_branch"}
	}
	return want{action: "github.deploy"}
}

func (p payload) broken() want {
	switch {
	case p.Action != "completed":
		return want{because: p.seen()}
	case !slices.Contains([]string{"failure", "timed_out", "startup_failure"}, p.WorkflowRun.Conclusion):
		return want{because: "event.payload.workflow_run.conclusion is"}
	}
	return want{action: "core.log"}
}

// checkOutcome compares what an action gave with what the payload asks for.
func (p payload) checkOutcome(t *testing.T, x api.Execution, stdout string) {
	t.Helper()
	switch x.Action {
	case "github.triage":
		var got struct{ Add []string }
		read(t, x, &got)
		if d := cmp.Diff(p.labels(t), got.Add); d != "" {
			t.Errorf("%s: labels: %s", p.name(), d)
		}
	case "github.size":
		var got struct{ Label string }
		read(t, x, &got)
		if got.Label != p.sizeLabel() {
			t.Errorf("%s: %s, want %s", p.name(), got.Label, p.sizeLabel())
		}
	case "github.notes":
		p.checkNotes(t, x)
	case "github.announce":
		if first := p.Repository.FullName + " " + p.Release.TagName + " is out"; !strings.HasPrefix(stdout, first) || !strings.Contains(stdout, p.Release.Body) {
			t.Errorf("%s: announced %q", p.name(), stdout)
		}
	case "github.deploy":
		var got struct{ Deployed string }
		read(t, x, &got)
		if got.Deployed != p.WorkflowRun.HeadSHA || x.Key != p.Repository.FullName || strings.Count(stdout, p.WorkflowRun.HeadSHA) != 4 {
			t.Errorf("%s: deployed %q of %q, in the steps\n%s", p.name(), got.Deployed, x.Key, stdout)
		}
	default:
		t.Errorf("%s: %s is not expected at all", p.name(), x.Action)
	}
}

func read(t *testing.T, x api.Execution, into any) {
	t.Helper()
	if err := json.Unmarshal(x.Result, into); err != nil {
		t.Errorf("result %s of %s: %v", x.Result, x.Action, err)
	}
}

var word = regexp.MustCompile(`[a-z0-9']+`)

// labels finds the labels that an issue's words ask for and that it has not.
func (p payload) labels(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("examples", "github", "labels.json"))
	if err != nil {
		t.Fatal(err)
	}
	var hints map[string][]string
	if err := json.Unmarshal(text, &hints); err != nil {
		t.Fatal(err)
	}
	said := word.FindAllString(strings.ToLower(p.Issue.Title+" "+p.Issue.Body), -1)
	add := []string{}
	for label, words := range hints {
		has := slices.ContainsFunc(p.Issue.Labels, func(l struct{ Name string }) bool { return l.Name == label })
		if !has && slices.ContainsFunc(said, func(w string) bool { return slices.Contains(words, w) }) {
			add = append(add, label)
		}
	}
	slices.Sort(add)
	return add
}

func (p payload) sizeLabel() string {
	switch lines := p.PullRequest.Additions + p.PullRequest.Deletions; {
	case lines < 10:
		return "size/XS"
	case lines < 50:
		return "size/S"
	case lines < 250:
		return "size/M"
	case lines < 1000:
		return "size/L"
	}
	return "size/XL"
}

func (p payload) checkNotes(t *testing.T, x api.Execution) {
	t.Helper()
	var got struct {
		Markdown string
		Commits  int
	}
	read(t, x, &got)
	if got.Commits != len(p.Commits) || !strings.HasPrefix(got.Markdown, "# "+p.Repository.FullName+" "+p.After[:7]) {
		t.Errorf("%s: notes on %d commits, want %d:\n%s", p.name(), got.Commits, len(p.Commits), got.Markdown)
	}
	for _, c := range p.Commits {
		if !strings.Contains(got.Markdown, "("+c.ID[:7]+")") {
			t.Errorf("%s: commit %s is not in the notes:\n%s", p.name(), c.ID, got.Markdown)
		}
	}
}
