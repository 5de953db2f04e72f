package webhook

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var errSignature = errors.New("not a signature")

// ParseSignature reads "sha256=" and 64 hexadecimal digits.
func ParseSignature(s string) ([]byte, error) {
	digits, ok := strings.CutPrefix(s, "sha256=")
	if !ok || len(digits) != 2*sha256.Size {
		return nil, fmt.Errorf("want sha256= and %d hexadecimal digits: %w", 2*sha256.Size, errSignature)
	}
	mac, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("hexadecimal digits: %w: %w", errSignature, err)
	}
	return mac, nil
}

// maxSignatures bounds how many signatures one delivery may offer; senders offer two while they change keys.
const maxSignatures = 8

// ParseSignatures reads the list of Standard Webhooks: "v1," and base64, separated by spaces. Signatures of
// other versions are passed over.
func ParseSignatures(s string) ([][]byte, error) {
	var macs [][]byte
	fields := strings.Fields(s)
	if len(fields) > maxSignatures {
		return nil, fmt.Errorf("%d signatures, at most %d: %w", len(fields), maxSignatures, errSignature)
	}
	for _, f := range fields {
		version, text, ok := strings.Cut(f, ",")
		if !ok {
			return nil, fmt.Errorf("want VERSION,SIGNATURE: %w", errSignature)
		}
		if version != "v1" {
			continue
		}
		mac, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(mac) != sha256.Size {
			return nil, fmt.Errorf("want %d bytes in base64: %w", sha256.Size, errSignature)
		}
		macs = append(macs, mac)
	}
	if len(macs) == 0 {
		return nil, fmt.Errorf("none of version v1: %w", errSignature)
	}
	return macs, nil
}

// verifyStandard is the scheme of standardwebhooks.com: id, time and body are signed together.
func verifyStandard(secret []byte, d Delivery) error {
	id, err := only(d.Header, HeaderID)
	if err != nil {
		return err
	}
	if id == "" {
		return fmt.Errorf("%s is empty: %w", HeaderID, ErrRefused)
	}
	at, err := only(d.Header, HeaderTimestamp)
	if err != nil {
		return err
	}
	if err := fresh(at, d.At); err != nil {
		return err
	}
	value, err := only(d.Header, HeaderSignatures)
	if err != nil {
		return err
	}
	given, err := ParseSignatures(value)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", HeaderSignatures, ErrRefused, err)
	}
	return anyOf(given, sum(standardKey(secret), []byte(id+"."+at+"."), d.Body), HeaderSignatures)
}

// standardKey gives the key of a secret in the form "whsec_BASE64", and any other secret as it is.
func standardKey(secret []byte) []byte {
	text, ok := strings.CutPrefix(string(secret), "whsec_")
	if !ok {
		return secret
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return secret
	}
	return key
}

// fresh reads when a delivery was signed, in seconds, and refuses what is far from now.
func fresh(at string, now time.Time) error {
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || strconv.FormatInt(seconds, 10) != at {
		return fmt.Errorf("signed at %.20q, which is not a number of seconds: %w", at, ErrRefused)
	}
	signed := time.Unix(seconds, 0)
	if signed.Before(now.Add(-Tolerance)) || signed.After(now.Add(Tolerance)) {
		return fmt.Errorf("signed at %d, more than %s from %d: %w", seconds, Tolerance, now.Unix(), ErrRefused)
	}
	return nil
}
