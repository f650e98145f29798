package webauthn_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/sam/webauthn"
)

var party = webauthn.Party{Origin: "https://approve.example", RPID: "approve.example"}

var challenge = bytes.Repeat([]byte{7}, 32)

// passkey is an authenticator in the test's hand.
type passkey struct {
	key *ecdsa.PrivateKey
	id  []byte
}

func newPasskey(tb testing.TB) *passkey {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return &passkey{k, bytes.Repeat([]byte{9}, 20)}
}

func clientData(ceremony string, c []byte, rest string) []byte {
	return []byte(`{"type":"` + ceremony + `","challenge":"` + base64.RawURLEncoding.EncodeToString(c) + `","origin":"https://approve.example","crossOrigin":false` + rest)
}

const (
	up, uv, be, bs, at, ed = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
)

func authData(flags byte, rest ...byte) []byte {
	rp := sha256.Sum256([]byte("approve.example"))
	return append(append(rp[:], flags, 0, 0, 0, 1), rest...)
}

func (p *passkey) cose(tb testing.TB) []byte {
	tb.Helper()
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	b := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}
	b = append(b, point[1:33]...)
	return append(append(b, 0x22, 0x58, 0x20), point[33:]...)
}

func (p *passkey) attested(tb testing.TB, id, cose []byte) []byte {
	tb.Helper()
	b := make([]byte, 16)
	b = binary.BigEndian.AppendUint16(b, uint16(len(id)))
	return append(append(b, id...), cose...)
}

func (p *passkey) sign(tb testing.TB, authData, clientData []byte) []byte {
	tb.Helper()
	c := sha256.Sum256(clientData)
	sum := sha256.Sum256(append(slices.Clone(authData), c[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, p.key, sum[:])
	if err != nil {
		tb.Fatal(err)
	}
	return sig
}

func TestGenuineCeremoniesAreAccepted(t *testing.T) {
	p := newPasskey(t)
	for _, rest := range []string{"}", `,"other_keys_can_be_added_here":"do not compare clientDataJSON against a template. See https://goo.gl/yabPex"}`, `,"x":{"type":1}}`} {
		reg, err := party.VerifyRegistration(challenge, p.id, clientData("webauthn.create", challenge, rest), authData(up|uv|at, p.attested(t, p.id, p.cose(t))...))
		if err != nil {
			t.Fatalf("registration: %v", err)
		}
		if !reg.Key.Equal(&p.key.PublicKey) || !bytes.Equal(reg.CredentialID, p.id) || reg.Synced {
			t.Errorf("registration %+v", reg)
		}
		for _, auth := range [][]byte{authData(up | uv), authData(up | uv | be), authData(up | uv | be | bs), authData(up|uv|ed, 0xa1, 0x61, 'a', 0xf5)} {
			client := clientData("webauthn.get", challenge, rest)
			if _, err := party.VerifyAssertion(challenge, reg.Key, client, auth, p.sign(t, auth, client)); err != nil {
				t.Errorf("assertion with flags %x: %v", auth[32], err)
			}
		}
	}
}

func TestClientDataIsCheckedByItsExactPrefix(t *testing.T) {
	good := string(clientData("webauthn.get", challenge, "}"))
	c := base64.RawURLEncoding.EncodeToString(challenge)
	if err := webauthn.CheckClientData([]byte(good), "webauthn.get", challenge, party.Origin); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":                    "",
		"another ceremony":         strings.Replace(good, "webauthn.get", "webauthn.create", 1),
		"another challenge":        strings.Replace(good, c, base64.RawURLEncoding.EncodeToString(make([]byte, 32)), 1),
		"padded challenge":         strings.Replace(good, c, c+"=", 1),
		"another origin":           strings.Replace(good, "approve.example", "approve.example.mallory.example", 1),
		"http":                     strings.Replace(good, "https:", "http:", 1),
		"a port":                   strings.Replace(good, "approve.example", "approve.example:8443", 1),
		"cross origin":             strings.Replace(good, "false", "true", 1),
		"cross origin missing":     strings.Replace(good, `,"crossOrigin":false`, "", 1),
		"cross origin as text":     strings.Replace(good, "false", `"false"`, 1),
		"another order":            `{"challenge":"` + c + `","type":"webauthn.get","origin":"https://approve.example","crossOrigin":false}`,
		"a space":                  "{ " + good[1:],
		"escaped":                  strings.Replace(good, `"type"`, `"typ\u0065"`, 1),
		"letter case":              strings.Replace(good, `"type"`, `"Type"`, 1),
		"duplicate type":           strings.TrimSuffix(good, "}") + `,"type":"webauthn.create"}`,
		"duplicate challenge":      strings.TrimSuffix(good, "}") + `,"challenge":"AAAA"}`,
		"duplicate in other case":  strings.TrimSuffix(good, "}") + `,"Challenge":"AAAA"}`,
		"duplicate with an escape": strings.TrimSuffix(good, "}") + `,"\u0063hallenge":"AAAA"}`,
		"duplicate origin":         strings.TrimSuffix(good, "}") + `,"ORIGIN":"https://mallory.example"}`,
		"duplicate of another":     strings.TrimSuffix(good, "}") + `,"a":1,"A":2}`,
		"top origin":               strings.TrimSuffix(good, "}") + `,"topOrigin":"https://mallory.example"}`,
		"not closed":               strings.TrimSuffix(good, "}"),
		"comma and end":            strings.TrimSuffix(good, "}") + ",}",
		"bytes after the end":      good + " ",
		"another object after it":  good + "{}",
		"other value after prefix": strings.TrimSuffix(good, "}") + `0}`,
		"too long":                 strings.TrimSuffix(good, "}") + `,"a":"` + strings.Repeat("x", webauthn.MaxClientData) + `"}`,
	} {
		if err := webauthn.CheckClientData([]byte(text), "webauthn.get", challenge, party.Origin); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestWrongAssertionsAreRefused(t *testing.T) {
	p, other := newPasskey(t), newPasskey(t)
	client := clientData("webauthn.get", challenge, "}")
	auth := authData(up | uv)
	elsewhere := slices.Clone(auth)
	elsewhere[0] ^= 1
	for name, a := range map[string]struct{ client, auth, sig []byte }{
		"of another key":             {client, auth, other.sign(t, auth, client)},
		"of another challenge":       {clientData("webauthn.get", make([]byte, 32), "}"), auth, p.sign(t, auth, clientData("webauthn.get", make([]byte, 32), "}"))},
		"of a registration":          {clientData("webauthn.create", challenge, "}"), auth, p.sign(t, auth, clientData("webauthn.create", challenge, "}"))},
		"of another relying party":   {client, elsewhere, p.sign(t, elsewhere, client)},
		"user not verified":          {client, authData(up), p.sign(t, authData(up), client)},
		"user not present":           {client, authData(uv), p.sign(t, authData(uv), client)},
		"reserved flag":              {client, authData(up | uv | 2), p.sign(t, authData(up|uv|2), client)},
		"backed up but not eligible": {client, authData(up | uv | bs), p.sign(t, authData(up|uv|bs), client)},
		"a key of its own":           {client, authData(up|uv|at, p.attested(t, p.id, p.cose(t))...), p.sign(t, authData(up|uv|at, p.attested(t, p.id, p.cose(t))...), client)},
		"bytes after its end":        {client, authData(up|uv, 0), p.sign(t, authData(up|uv, 0), client)},
		"extensions missing":         {client, authData(up | uv | ed), p.sign(t, authData(up|uv|ed), client)},
		"extensions no map":          {client, authData(up|uv|ed, 0x80), p.sign(t, authData(up|uv|ed, 0x80), client)},
		"extensions and a byte":      {client, authData(up|uv|ed, 0xa0, 0), p.sign(t, authData(up|uv|ed, 0xa0, 0), client)},
		"cut short":                  {client, auth[:36], p.sign(t, auth[:36], client)},
		"no signature":               {client, auth, nil},
	} {
		if _, err := party.VerifyAssertion(challenge, &p.key.PublicKey, a.client, a.auth, a.sig); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestWrongRegistrationsAreRefused(t *testing.T) {
	p := newPasskey(t)
	client := clientData("webauthn.create", challenge, "}")
	cose := p.cose(t)
	change := func(at int, b byte) []byte { c := slices.Clone(cose); c[at] = b; return c }
	offCurve := slices.Clone(cose)
	offCurve[len(offCurve)-1] ^= 1
	for name, a := range map[string][]byte{
		"without a key":        authData(up | uv),
		"for another id":       authData(up|uv|at, p.attested(t, bytes.Repeat([]byte{8}, 20), cose)...),
		"short id":             authData(up|uv|at, p.attested(t, p.id[:15], cose)...),
		"algorithm RS256":      authData(up|uv|at, p.attested(t, p.id, change(4, 0x39))...),
		"another curve":        authData(up|uv|at, p.attested(t, p.id, change(6, 0x02))...),
		"another key type":     authData(up|uv|at, p.attested(t, p.id, change(2, 0x03))...),
		"six members":          authData(up|uv|at, p.attested(t, p.id, change(0, 0xa6))...),
		"point off the curve":  authData(up|uv|at, p.attested(t, p.id, offCurve)...),
		"key cut short":        authData(up|uv|at, p.attested(t, p.id, cose[:len(cose)-1])...),
		"bytes after the key":  authData(up|uv|at, p.attested(t, p.id, append(slices.Clone(cose), 0))...),
		"id longer than all":   authData(up|uv|at, append(make([]byte, 16), 0xff, 0xff)...),
		"user not verified":    authData(up|at, p.attested(t, p.id, cose)...),
		"coordinates in order": authData(up|uv|at, p.attested(t, p.id, append(append([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x22, 0x58, 0x20}, cose[45:]...), append([]byte{0x21, 0x58, 0x20}, cose[10:42]...)...))...),
	} {
		if _, err := party.VerifyRegistration(challenge, p.id, client, a); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := party.VerifyRegistration(challenge, p.id, clientData("webauthn.get", challenge, "}"), authData(up|uv|at, p.attested(t, p.id, cose)...)); err == nil {
		t.Error("an assertion as a registration: accepted")
	}
}

func FuzzClientData(f *testing.F) {
	f.Add(clientData("webauthn.get", challenge, "}"))
	f.Add(clientData("webauthn.get", challenge, `,"a":[1,{"b":null}]}`))
	f.Add(clientData("webauthn.get", challenge, `,"Type":"x"}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if webauthn.CheckClientData(data, "webauthn.get", challenge, party.Origin) != nil {
			return
		}
		if !bytes.HasPrefix(data, bytes.TrimSuffix(clientData("webauthn.get", challenge, "}"), []byte("}"))) {
			t.Errorf("accepted %q", data)
		}
		for _, ceremony := range []string{"webauthn.create", "payment.get"} {
			if webauthn.CheckClientData(data, ceremony, challenge, party.Origin) == nil {
				t.Errorf("%q is two ceremonies", data)
			}
		}
	})
}

func FuzzAuthenticatorData(f *testing.F) {
	p := newPasskey(f)
	f.Add(authData(up | uv))
	f.Add(authData(up|uv|ed, 0xa1, 0x61, 'a', 0xf5))
	f.Add(authData(up|uv|at, p.attested(f, p.id, p.cose(f))...))
	f.Add(authData(up|uv|at|ed, append(p.attested(f, p.id, p.cose(f)), 0xa1, 0x6b, 'c', 'r', 'e', 'd', 'P', 'r', 'o', 't', 'e', 'c', 't', 2)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := webauthn.ParseAuthenticatorData(data)
		if err != nil {
			return
		}
		if data[32]&(up|uv) != up|uv {
			t.Errorf("accepted without presence and verification: %x", data)
		}
		if (a.Key != nil) != (data[32]&at != 0) || len(a.CredentialID) > 1023 {
			t.Errorf("%x gives %+v", data, a)
		}
	})
}

// FuzzCBOR puts any bytes where extensions stand.
func FuzzCBOR(f *testing.F) {
	for _, seed := range [][]byte{
		{0xa0},
		{0xa1, 0x61, 'a', 0xf5},
		{0xa1, 0x61, 'a', 0x18, 0x18},
		{0xa1, 0x61, 'a', 0x18, 0x17}, // not the shortest form
		{0xbf, 0xff},                  // indefinite
		{0xa1, 0x61, 'a', 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0xa1, 0x61, 'a', 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0},
		{0xa1, 0x61, 'a', 0xc0, 0x00}, // tag
		{0xa1, 0x61, 'a', 0xfb, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, ext []byte) {
		_, err := webauthn.ParseAuthenticatorData(authData(up|uv|ed, ext...))
		if err == nil && (len(ext) == 0 || ext[0]>>5 != 5) {
			t.Errorf("extensions that are no map: %x", ext)
		}
		if err == nil {
			if _, err := webauthn.ParseAuthenticatorData(authData(up|uv|ed, append(slices.Clone(ext), 0)...)); err == nil {
				t.Errorf("%x and a byte too many", ext)
			}
		}
	})
}
