package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// verifyGitLab takes the secret itself, or, from a webhook that has a signing token, a signature, which then counts.
func verifyGitLab(secret []byte, d Delivery) error {
	if len(d.Header.Values(HeaderSignatures)) > 0 {
		return verifyStandard(secret, d)
	}
	token, err := only(d.Header, HeaderGitLabToken)
	if err != nil {
		return err
	}
	if !Equal(token, string(secret)) {
		return fmt.Errorf("%s is wrong: %w", HeaderGitLabToken, ErrRefused)
	}
	return nil
}

// ParseStripe reads "t=SECONDS,v1=SIGNATURE": one time and at least one signature in 64 hexadecimal digits. Other parts,
// such as signatures of other versions, are passed over.
func ParseStripe(s string) (at string, macs [][]byte, err error) {
	if n := strings.Count(s, ","); n > 2*maxSignatures {
		return "", nil, fmt.Errorf("%d parts, at most %d: %w", n+1, 2*maxSignatures, errSignature)
	}
	for part := range strings.SplitSeq(s, ",") {
		name, value, ok := strings.Cut(part, "=")
		switch {
		case !ok:
			return "", nil, fmt.Errorf("want NAME=VALUE: %w", errSignature)
		case name == "t" && at != "":
			return "", nil, fmt.Errorf("two times: %w", errSignature)
		case name == "t":
			at = value
		case name == "v1":
			mac, err := hexMAC(value)
			if err != nil {
				return "", nil, err
			}
			macs = append(macs, mac)
		}
	}
	if at == "" || len(macs) == 0 || len(macs) > maxSignatures {
		return "", nil, fmt.Errorf("want one time and 1 to %d signatures of version v1: %w", maxSignatures, errSignature)
	}
	return at, macs, nil
}

func hexMAC(digits string) ([]byte, error) {
	mac, err := hex.DecodeString(digits)
	if err != nil || len(mac) != sha256.Size {
		return nil, fmt.Errorf("want %d hexadecimal digits: %w", 2*sha256.Size, errSignature)
	}
	return mac, nil
}

func verifyStripe(secret []byte, d Delivery) error {
	value, err := only(d.Header, HeaderStripeSignature)
	if err != nil {
		return err
	}
	at, macs, err := ParseStripe(value)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", HeaderStripeSignature, ErrRefused, err)
	}
	if err := fresh(at, d.At); err != nil {
		return err
	}
	return anyOf(macs, sum(secret, []byte(at+"."), d.Body), HeaderStripeSignature)
}

// anyOf accepts a list of signatures with the right one in it.
func anyOf(macs [][]byte, want []byte, header string) error {
	for _, mac := range macs {
		if hmac.Equal(mac, want) {
			return nil
		}
	}
	return fmt.Errorf("%s is not that of the delivery: %w", header, ErrRefused)
}

// ParseSlack reads "v0=" and 64 hexadecimal digits.
func ParseSlack(s string) ([]byte, error) {
	digits, ok := strings.CutPrefix(s, "v0=")
	if !ok {
		return nil, fmt.Errorf("want v0=: %w", errSignature)
	}
	return hexMAC(digits)
}

func verifySlack(secret []byte, d Delivery) error {
	at, err := only(d.Header, HeaderSlackTimestamp)
	if err != nil {
		return err
	}
	if err := fresh(at, d.At); err != nil {
		return err
	}
	value, err := only(d.Header, HeaderSlackSignature)
	if err != nil {
		return err
	}
	mac, err := ParseSlack(value)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", HeaderSlackSignature, ErrRefused, err)
	}
	return anyOf([][]byte{mac}, sum(secret, []byte("v0:"+at+":"), d.Body), HeaderSlackSignature)
}
