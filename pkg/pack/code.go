package pack

// Code names a kind of mistake, for good: a code is never used for another. E1xx are mistakes that keep a pack from
// being installed, W2xx are warnings, I3xx are remarks.
type Code string

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // the pack cannot be installed
	SeverityWarning Severity = "warning" // it can, and is likely not what was meant
	SeverityInfo    Severity = "info"    // it can; something could be better
)

// Severity tells it by the code's letter.
func (c Code) Severity() Severity {
	switch {
	case len(c) > 0 && c[0] == 'W':
		return SeverityWarning
	case len(c) > 0 && c[0] == 'I':
		return SeverityInfo
	default:
		return SeverityError
	}
}

// The codes of mistakes.
const (
	codeNoPack     Code = "E101"
	codeUnreadable Code = "E102"
	codeFileKind   Code = "E103"
	codeFileName   Code = "E104"
	codeTooLarge   Code = "E105"
	codeName       Code = "E106"
	codeTwice      Code = "E107"
	codeOtherName  Code = "E108"

	codeSyntax     Code = "E110"
	codeNoMapping  Code = "E111"
	codeAnchors    Code = "E112"
	codeKey        Code = "E113"
	codeReadings   Code = "E114"
	codeCharacters Code = "E115"

	codeUnknown  Code = "E120"
	codeRequired Code = "E121"
	codeType     Code = "E122"
	codeValue    Code = "E123"
	codeProperty Code = "E124"

	codeVersion  Code = "E130"
	codeRange    Code = "E131"
	codeDuration Code = "E132"
	codeRate     Code = "E133"
	codeRetry    Code = "E134"

	codeSchema Code = "E140"

	codeEntryPoint    Code = "E150"
	codeNotExecutable Code = "E151"
	codeFunction      Code = "E152"
	codeVariables     Code = "E153"
	codeContainer     Code = "E154"
	codeWarm          Code = "E155"

	codeReference    Code = "E160"
	codeBadReference Code = "E161"
	codeExpression   Code = "E162"
	codeArguments    Code = "E163"
	codeClearSecret  Code = "E164"
	codeSecretKey    Code = "E165"

	codeWebhook Code = "E170"
	codeTimer   Code = "E171"

	codeRequirements Code = "E180"
	codePackages     Code = "E181"

	codeCase Code = "E190"

	codeNoDescription   Code = "W201"
	codeNoTimeout       Code = "W202"
	codeNoParameters    Code = "W203"
	codeOpenParameters  Code = "W204"
	codeForeignRuntime  Code = "W205"
	codeSecretParameter Code = "W206"

	codeUnusedTrigger Code = "W210"

	codeShebang Code = "W220"
	codeCRLF    Code = "W221"
	codeSecret  Code = "W222"

	codeUnpinned Code = "W230"

	codeNoReadme  Code = "I301"
	codeNoTest    Code = "I302"
	codeNoRange   Code = "I303"
	codeNoPayload Code = "I304"
	codeNoHashes  Code = "I305"
)
