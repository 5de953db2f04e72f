package strictjson

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// maxDigits bounds a number's length: a 4096-bit integer fits.
const maxDigits = 1300

// minExponent is the smallest decimal exponent that is let through.
const minExponent = -400

func (p *parser) number() (any, error) {
	start := p.pos
	for p.pos < len(p.data) && isNumberByte(p.data[p.pos]) {
		p.pos++
	}
	text := string(p.data[start:p.pos])
	if !validNumber(text) {
		p.pos = start
		return nil, p.fail("%q is not a number", clip([]byte(text)))
	}
	if len(text) > maxDigits || !inRange(text) {
		p.pos = start
		return nil, p.fail("the number %s... is out of range", clip([]byte(text)))
	}
	return json.Number(text), nil
}

func isNumberByte(c byte) bool {
	return c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

// validNumber is JSON's grammar: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
func validNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole := digits(s)
	if whole == 0 || (whole > 1 && s[0] == '0') {
		return false
	}
	s = s[whole:]
	if strings.HasPrefix(s, ".") {
		n := digits(s[1:])
		if n == 0 {
			return false
		}
		s = s[1+n:]
	}
	return s == "" || validExponent(s)
}

func validExponent(s string) bool {
	if s[0] != 'e' && s[0] != 'E' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	return s != "" && digits(s) == len(s)
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// inRange tells whether the number stays small when somebody expands it: integers may be long, exponents not.
func inRange(s string) bool {
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return true
	}
	exponent, err := strconv.Atoi(strings.TrimPrefix(s[i+1:], "+"))
	if err != nil || exponent < minExponent {
		return false
	}
	f, err := strconv.ParseFloat(s, 64)
	return err == nil && !math.IsInf(f, 0)
}
