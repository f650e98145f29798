package samapi_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/countersign/countersign/sam/samapi"
)

func TestActivationCodeIsReadAsPeopleTypeIt(t *testing.T) {
	code := samapi.NewActivationCode()
	if len(code) != 23 || strings.Count(code, "-") != 3 {
		t.Fatalf("code %q", code)
	}
	want, err := samapi.ActivationCodeHash("order", code)
	if err != nil {
		t.Fatal(err)
	}
	for _, typed := range []string{strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + strings.ReplaceAll(code, "-", " ") + " "} {
		if got, err := samapi.ActivationCodeHash("order", typed); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %v", typed, err)
		}
	}
	if got, err := samapi.ActivationCodeHash("another", code); err != nil || bytes.Equal(got, want) {
		t.Errorf("the same hash for another order, %v", err)
	}
	for _, bad := range []string{"", code[1:], code + "0", "U" + code[1:], "é" + code[2:]} {
		if _, err := samapi.ActivationCodeHash("order", bad); err == nil {
			t.Errorf("%q is taken for a code", bad)
		}
	}
	if samapi.NewActivationCode() == code {
		t.Error("the same code twice")
	}
}

func TestEnrolChallengeBindsEverything(t *testing.T) {
	seen := map[string]string{}
	for name, args := range map[string][]string{
		"one":               {"e1", samapi.DeviceKey, "key"},
		"another enrolment": {"e2", samapi.DeviceKey, "key"},
		"another mechanism": {"e1", samapi.WebAuthn, "key"},
		"another key":       {"e1", samapi.DeviceKey, "yek"},
		"no key":            {"e1", samapi.DeviceKey, ""},
	} {
		c, err := samapi.EnrolChallenge(args[0], args[1], []byte(args[2]))
		if err != nil || len(c) != 32 {
			t.Fatal(name, err)
		}
		if other, twice := seen[string(c)]; twice {
			t.Errorf("%s and %s have one challenge", name, other)
		}
		seen[string(c)] = name
	}
}
