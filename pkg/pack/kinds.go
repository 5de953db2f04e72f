package pack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/attune/attune/pkg/expression"
	"github.com/attune/attune/pkg/marker"
	"github.com/attune/attune/pkg/schedule"
)

const (
	maxTimeout   = 30 * 24 * time.Hour
	maxRetention = 10 * 365 * 24 * time.Hour
)

func (l *loader) checkAction(d *document) {
	d.checkEntryPoint()
	d.checkDuration(time.Millisecond, maxTimeout, "timeout")
	d.checkRetention()
	d.checkLogs()
	parameters := d.checkSchema("parameters", true)
	d.checkSchema("output_schema", false)
	if key, ok := d.text("concurrency", "key"); ok && key != "" {
		compiled, err := expression.NewKey(key)
		d.checkCEL([]string{"concurrency", "key"}, err)
		d.checkKey(compiled, parameters)
	}
	d.checkSecrets()
	d.checkTerms()
	d.checkContainer()
	d.checkWarm()
	if d.get("variables") == true {
		d.checkVariables()
	}
	var a Action
	d.fits(kindAction, &a)
	l.pack.Actions = append(l.pack.Actions, a)
}

// checkLogs checks that the limits of an action's output go together.
func (d *document) checkLogs() {
	each, ok := d.integer("logs", "max_bytes")
	all, also := d.integer("logs", "max_total_bytes")
	if ok && also && all < each {
		d.at(codeValue, []string{"logs", "max_total_bytes"}, "logs.max_total_bytes: must not be less than max_bytes: %d is less than %d", all, each)
	}
}

// integer gives a whole number, when there is one.
func (d *document) integer(path ...string) (int64, bool) {
	number, ok := d.get(path...).(json.Number)
	if !ok {
		return 0, false
	}
	n, err := number.Int64()
	return n, err == nil
}

// checkContainer checks that an action says in which container it runs, when it runs in one.
func (d *document) checkContainer() {
	container, given := d.get("container").(map[string]any)
	runtime, _ := d.text("runtime")
	_, image := container["image"]
	_, rootfs := container["rootfs"]
	switch {
	case runtime != "container" && given:
		d.at(codeContainer, []string{"container"}, "container: only actions of runtime container run in one")
	case runtime != "container":
	case image == rootfs:
		d.at(codeContainer, []string{"container"}, "container: name either an image or a rootfs")
	case image:
		d.checkImage()
	default:
		d.checkRootfs()
	}
}

var (
	// imageName is a name as registries have it, perhaps with a tag or a digest.
	imageName = regexp.MustCompile(`^[a-z0-9]([._-]{0,2}[A-Za-z0-9]|[/:@][A-Za-z0-9])*$`)
	// transport begins what container engines take for something else than the name of an image.
	transport = regexp.MustCompile(`^(containers-storage|dir|docker|docker-archive|docker-daemon|oci|oci-archive|ostree|sif|tarball):`)
)

func (d *document) checkImage() {
	if name, ok := d.text("container", "image"); ok && (!imageName.MatchString(name) || transport.MatchString(name)) {
		d.at(codeContainer, []string{"container", "image"}, "container.image: %q is not the name of an image such as registry.example/alpine:3.20", name)
	}
}

// checkRootfs checks that a rootfs is a folder of the pack or a plain absolute path: whether that is allowed, its
// runner says.
func (d *document) checkRootfs() {
	name, ok := d.text("container", "rootfs")
	at := []string{"container", "rootfs"}
	inside := func(file string) bool { return strings.HasPrefix(file, name+"/") }
	switch {
	case !ok:
	case name != path.Clean(name) || strings.ContainsAny(name, ":,\\"):
		d.at(codeContainer, at, "container.rootfs: %q is not a plain path", name)
	case path.IsAbs(name):
	case !fs.ValidPath(name) || name == "." || !slices.ContainsFunc(slices.Collect(maps.Keys(d.loader.files)), inside):
		d.at(codeContainer, at, "container.rootfs: %q is not a folder of the pack", name)
	}
}

// Variables of a shell may not change the shell itself.
var (
	variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	reserved = regexp.MustCompile(`^(PATH|HOME|LANG|TMPDIR|IFS|ENV|PS[0-9]|PWD|OLDPWD|CDPATH|SHELLOPTS|PROMPT_COMMAND|OPT(IND|ARG)|_|` +
		`PPID|UID|EUID|LINENO|RANDOM|SECONDS|FUNCNAME|DIRSTACK|GROUPS|GLOBIGNORE|EXECIGNORE|(BASH|LC|LD|ATTUNE)(_.*|OPTS|PID)?)$`)
)

func (d *document) checkVariables() {
	if runtime, ok := d.text("runtime"); ok && runtime != "shell" {
		d.at(codeVariables, []string{"variables"}, "variables: only actions of runtime shell have variables")
		return
	}
	properties, _ := d.get("parameters", "properties").(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		d.checkVariable(name, "parameters", "properties", name)
	}
	secrets, _ := d.get("secrets").([]any)
	for i, secret := range secrets {
		if text, ok := secret.(string); ok {
			d.checkVariable(marker.Ref(text).Name(), "secrets", strconv.Itoa(i))
		}
	}
}

func (d *document) checkVariable(name string, path ...string) {
	switch {
	case !variable.MatchString(name):
		d.at(codeVariables, path, "%q cannot be a variable of a shell", name)
	case reserved.MatchString(name):
		d.at(codeVariables, path, "%q would change the shell itself: choose another name", name)
	}
}

func (l *loader) checkTrigger(d *document) {
	d.checkSchema("payload", false)
	if hook, ok := d.get("webhook").(map[string]any); ok {
		d.checkWebhook(hook)
	}
	if timer, ok := d.get("timer").(map[string]any); ok {
		d.checkTimer(timer)
	}
	var t Trigger
	d.fits(kindTrigger, &t)
	l.pack.Triggers = append(l.pack.Triggers, t)
}

func (d *document) checkWebhook(hook map[string]any) {
	_, one := hook["secret"]
	_, several := hook["secrets"]
	hasSecret := one || several
	open := hook["allow_unauthenticated"] == true
	switch scheme := hook["scheme"]; {
	case scheme == "none" && !open:
		d.at(codeWebhook, []string{"webhook", "scheme"}, "webhook.scheme: none lets everybody in; say allow_unauthenticated: true if that is meant")
	case scheme == "none" && one:
		d.at(codeWebhook, []string{"webhook", "secret"}, "webhook.secret: scheme none has no secret")
	case scheme == "none" && several:
		d.at(codeWebhook, []string{"webhook", "secrets"}, "webhook.secrets: scheme none has no secret")
	case one && several:
		d.at(codeWebhook, []string{"webhook", "secrets"}, "webhook.secrets: takes the place of secret; name all of them here")
	case scheme != nil && scheme != "none" && !hasSecret:
		d.at(codeWebhook, []string{"webhook"}, "webhook.secret: is required for scheme %v", scheme)
	case scheme != "none" && open:
		d.at(codeWebhook, []string{"webhook", "allow_unauthenticated"}, "webhook.allow_unauthenticated: only scheme none can have it")
	}
}

func (d *document) checkTimer(timer map[string]any) {
	d.checkDuration(schedule.MinEvery, maxRetention, "timer", "every")
	spec := schedule.Spec{}
	spec.Cron, _ = timer["cron"].(string)
	spec.Timezone, _ = timer["timezone"].(string)
	every, _ := timer["every"].(string)
	at, _ := timer["at"].(string)
	var errEvery, errAt error
	if every != "" {
		spec.Every, errEvery = time.ParseDuration(every)
	}
	if at != "" {
		spec.At, errAt = time.Parse(time.RFC3339, at)
	}
	if errEvery != nil || errAt != nil || spec.Every < 0 {
		return // reported by others
	}
	_, err := schedule.Parse(spec)
	d.timerFaults(err)
}

func (d *document) timerFaults(err error) {
	for _, e := range unjoin(err) {
		if fault, ok := errors.AsType[*schedule.FieldError](e); !ok {
			d.at(codeTimer, []string{"timer"}, "timer: %v", e)
		} else if fault.Field != "every" || d.get("timer", "every") == nil {
			d.at(codeTimer, []string{"timer", fault.Field}, "timer.%s: %s", fault.Field, fault.Reason)
		}
	}
}

func unjoin(err error) []error {
	var joined interface{ Unwrap() []error }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &joined):
		return joined.Unwrap()
	default:
		return []error{err}
	}
}

// builtin is the runtime of programs that are part of Attune: their entry point is a name, not a file of the pack.
const builtin = "builtin"

func (l *loader) checkSensor(d *document) {
	switch runtime, _ := d.text("runtime"); runtime {
	case builtin:
	case "container":
		d.at(codeContainer, []string{"runtime"}, "runtime: a sensor cannot run in a container")
	default:
		d.checkEntryPoint()
	}
	triggers, _ := d.get("triggers").([]any)
	for i, t := range triggers {
		name, ok := t.(string)
		if _, known := l.names[kindTrigger][name]; ok && !known {
			d.at(codeReference, []string{"triggers", strconv.Itoa(i)}, "triggers: this pack has no trigger %q", name)
		}
	}
	d.checkReferences("config")
	var s Sensor
	d.fits(kindSensor, &s)
	l.pack.Sensors = append(l.pack.Sensors, s)
}

func (l *loader) checkRule(d *document) {
	l.checkReference(d, kindTrigger)
	action := l.checkReference(d, kindAction)
	if when, ok := d.text("when"); ok {
		_, err := expression.NewCriteria(when)
		d.checkCEL([]string{"when"}, err)
	}
	d.checkOncePer()
	if parameters, ok := d.get("parameters").(map[string]any); ok {
		d.checkTemplates(parameters, []string{"parameters"})
	}
	if action != nil {
		d.checkArguments(action)
		d.checkClear(action)
	}
	var r Rule
	d.fits(kindRule, &r)
	l.pack.Rules = append(l.pack.Rules, r)
}

// checkReference checks the trigger or action that a rule names, and gives its file if it is in this pack.
func (l *loader) checkReference(d *document, k kind) *document {
	text, ok := d.text(string(k))
	if !ok {
		return nil
	}
	own := l.ownName()
	ref, err := refIn(own, text)
	if err != nil {
		d.at(codeBadReference, []string{string(k)}, "%s: %q is not of the form pack.name", k, text)
		return nil
	}
	if ref.Pack != own {
		return nil
	}
	found, known := l.names[k][ref.Name]
	if !known {
		d.at(codeReference, []string{string(k)}, "%s: this pack has no %s %q", k, k, ref.Name)
	}
	return found
}

// ownName gives the pack's name, or nothing when it has none.
func (l *loader) ownName() string {
	if l.manifest == nil {
		return ""
	}
	name, _ := l.manifest.text("name")
	return name
}

// checkTemplates compiles the expressions in a rule's parameters.
func (d *document) checkTemplates(v any, path []string) {
	below := func(step string) []string { return append(slices.Clip(path), step) }
	switch v := v.(type) {
	case string:
		_, err := expression.NewTemplate(v)
		d.checkCEL(path, err)
	case map[string]any:
		if marker.Reserved(v) {
			d.at(codeExpression, path, "%s: looks like a reference to a secret; write ${{ secrets.NAME }}", strings.Join(path, "."))
			return
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			d.checkTemplates(v[key], below(key))
		}
	case []any:
		for i, elem := range v {
			d.checkTemplates(elem, below(strconv.Itoa(i)))
		}
	}
}

// checkArguments finds parameters that the rule's action cannot take, before any event does.
func (d *document) checkArguments(action *document) {
	given, _ := d.get("parameters").(map[string]any)
	required, _ := action.get("parameters", "required").([]any)
	known, _ := action.get("parameters", "properties").(map[string]any)
	for _, name := range required {
		name, _ := name.(string)
		property, _ := known[name].(map[string]any)
		_, hasDefault := property["default"]
		if _, ok := given[name]; !ok && !hasDefault {
			d.at(codeArguments, []string{"parameters"}, "parameters.%s: is required by the action", name)
		}
	}
	if action.get("parameters", "additionalProperties") != false || action.get("parameters", "patternProperties") != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := known[name]; !ok {
			d.at(codeArguments, []string{"parameters", name}, "parameters.%s: is not known to the action%s", name, suggestion(name, known))
		}
	}
}

func suggestion(name string, known map[string]any) string {
	for other := range known {
		if strings.EqualFold(name, other) {
			return fmt.Sprintf(" (did you mean %s?)", other)
		}
	}
	return ""
}
