package csc

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
)

var standardAlphabet = strings.NewReplacer("-", "+", "_", "/")

// DecodeBase64 reads base64 as clients of the API really write it: the standard or
// the URL alphabet, padded or not, percent-encoded once more. The bytes are the
// same in each case. Line breaks, wrong padding and stray bits behind the last
// octet are refused.
func DecodeBase64(s string) ([]byte, error) {
	bad := errors.New("it is not base64")
	if strings.Contains(s, "%") {
		u, err := url.PathUnescape(s)
		if err != nil {
			return nil, bad
		}
		s = u
	}
	if strings.ContainsAny(s, "\r\n") { // encoding/base64 would skip them
		return nil, bad
	}
	if body := strings.TrimRight(s, "="); len(body) < len(s) {
		if len(s)%4 != 0 || len(s)-len(body) > 2 {
			return nil, bad
		}
		s = body
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(standardAlphabet.Replace(s))
	if err != nil {
		return nil, bad
	}
	return b, nil
}
