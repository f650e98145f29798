package csc_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/countersign/countersign/csc"
)

func TestBase64IsTakenInEverySpellingAndNothingElseIs(t *testing.T) {
	for n := range 6 {
		want := bytes.Repeat([]byte{0xfb, 0xff, 0xfe}, 2)[:n]
		std := base64.StdEncoding.EncodeToString(want)
		for _, text := range []string{
			std, strings.TrimRight(std, "="), base64.URLEncoding.EncodeToString(want), base64.RawURLEncoding.EncodeToString(want),
			strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(std),
		} {
			if got, err := csc.DecodeBase64(text); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%q: %x, %v", text, got, err)
			}
		}
	}
	for _, text := range []string{"=", "====", "QQ=", "QQ===", "QUJD=", "QR==", "Q", "Q=Q=", "QUJD\n", "QU JD", "QUJD%", "QUJD%zz", "%0AQUJD", "é"} {
		if got, err := csc.DecodeBase64(text); err == nil {
			t.Errorf("%q is taken for %x", text, got)
		}
	}
}

func FuzzDecodeBase64(f *testing.F) {
	for _, seed := range []string{"", "QQ==", "-_-_", "%2B%2F", "QUJD\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := csc.DecodeBase64(text)
		if err != nil {
			return
		}
		again, err := csc.DecodeBase64(base64.StdEncoding.EncodeToString(b))
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q: %x, then %x, %v", text, b, again, err)
		}
	})
}
