package cscsam_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/csc/csctest"
	"github.com/countersign/countersign/signing"
)

// desk is a service and what one needs to call it by hand.
type desk struct {
	*testing.T
	*csctest.Service
	service, credential, user string // tokens
	sid                       string
	hash                      string // authorised, base64
}

func newDesk(t *testing.T, k signing.KeyType) *desk {
	t.Helper()
	d := &desk{T: t, Service: csctest.Start(t, k)}
	sum := sha256.Sum256([]byte("document"))
	d.hash = base64.StdEncoding.EncodeToString(sum[:])
	d.sid = d.SAM.Approve(csctest.ClientID, csctest.CredentialID, [][]byte{sum[:]})
	d.service = d.Token(csc.Caller{Org: csctest.Org, Client: csctest.ClientID, Scope: csc.ScopeService})
	d.user = d.Token(csc.Caller{Org: csctest.Org, Client: csctest.ClientID, Scope: csc.ScopeService, Subject: csctest.SignerID})
	d.credential = d.Token(csc.Caller{
		Org: csctest.Org, Client: csctest.ClientID, Subject: csctest.SignerID, Scope: csc.ScopeCredential,
		Credential: csctest.CredentialID, SID: d.sid,
	})
	return d
}

type object = map[string]any

// signHash is a good request; with changes it.
func (d *desk) signHash(with object) object {
	q := object{"credentialID": csctest.CredentialID, "hashes": []string{d.hash}, "signAlgo": signing.ECDSAWithSHA256.OID()}
	maps.Copy(q, with)
	return q
}

func (d *desk) timestamp(with object) object {
	q := object{"hash": d.hash, "hashAlgo": signing.OIDSHA256}
	maps.Copy(q, with)
	return q
}

type reply struct {
	status int
	header http.Header
	body   string
	csc.Error
}

// call posts to a method. authorization is the whole header, or a token.
func (d *desk) call(method, authorization string, body any) *reply {
	d.Helper()
	text, ok := body.(string)
	if !ok {
		b, err := json.Marshal(body)
		if err != nil {
			d.Fatal(err)
		}
		text = string(b)
	}
	req, err := http.NewRequestWithContext(d.Context(), http.MethodPost, d.Base+"/"+method, strings.NewReader(text))
	if err != nil {
		d.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if authorization != "" && !strings.Contains(authorization, " ") {
		authorization = "Bearer " + authorization
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	return d.do(req)
}

func (d *desk) do(req *http.Request) *reply {
	d.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		d.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.Fatal(err)
	}
	r := &reply{status: resp.StatusCode, header: resp.Header, body: string(b)}
	if resp.StatusCode >= 400 {
		if err := json.Unmarshal(b, &r.Error); err != nil {
			d.Errorf("%s %s: %d without JSON: %q", req.Method, req.URL.Path, resp.StatusCode, b)
		}
	}
	return r
}

// errorRows says for each row of the table how to get there.
var errorRows = map[string]func(d *desk) *reply{
	"(all JSON methods)|malformed Authorization header": func(d *desk) *reply {
		var r *reply
		for _, m := range []string{csc.MethodCredentialsList, csc.MethodCredentialsInfo, csc.MethodSignHash, csc.MethodTimestamp} {
			for _, h := range []string{"Basic cnA6c2VjcmV0", "Bearer a b", "Bearer \"x\"", "bear " + d.service} {
				r = d.call(m, h, object{})
				if r.Description != csc.ErrAuthorizationHeader.Description {
					d.Errorf("%s with %q: %+v", m, h, r)
				}
			}
		}
		return r
	},
	"credentials/list|userID present with user-specific authorization": func(d *desk) *reply {
		return d.call("credentials/list", d.user, object{"userID": csctest.SignerID})
	},
	"credentials/list|userID invalid": func(d *desk) *reply {
		return d.call("credentials/list", d.service, object{"userID": "mallory"})
	},
	"credentials/list|certificates invalid": func(d *desk) *reply {
		return d.call("credentials/list", d.service, object{"certificates": "all"})
	},
	"credentials/info|credentialID missing/not string": func(d *desk) *reply {
		return d.call("credentials/info", d.service, object{"credentialID": 7})
	},
	"credentials/info|credentialID invalid": func(d *desk) *reply {
		return d.call("credentials/info", d.service, object{"credentialID": "somebody-else"})
	},
	"credentials/info|certificates invalid": func(d *desk) *reply {
		return d.call("credentials/info", d.service, object{"credentialID": csctest.CredentialID, "certificates": true})
	},
	"signatures/signHash|SAD missing/not string": func(d *desk) *reply {
		return d.call("signatures/signHash", d.service, d.signHash(nil))
	},
	"signatures/signHash|SAD invalid": func(d *desk) *reply {
		return d.call("signatures/signHash", d.service, d.signHash(object{"SAD": "made-up"}))
	},
	"signatures/signHash|credentialID missing/not string": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"credentialID": nil}))
	},
	"signatures/signHash|credentialID invalid": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"credentialID": "another"}))
	},
	"signatures/signHash|hashes missing/not array": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"hashes": d.hash}))
	},
	"signatures/signHash|hashes empty": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"hashes": []string{}}))
	},
	"signatures/signHash|hashes element not base64": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"hashes": []string{"***"}}))
	},
	"signatures/signHash|hashes not bound to SAD": func(d *desk) *reply {
		sum := sha256.Sum256([]byte("another document"))
		return d.call("signatures/signHash", d.credential, d.signHash(object{"hashes": [][]byte{sum[:]}}))
	},
	"signatures/signHash|signAlgo missing/not string": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"signAlgo": []string{"1.2.840.10045.4.3.2"}}))
	},
	"signatures/signHash|signAlgoParams missing/not string (when required)": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"signAlgo": signing.OIDRSAPSS}))
	},
	"signatures/signHash|signAlgo invalid": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"signAlgo": "1.2.840.113549.1.1.5"}))
	},
	"signatures/signHash|clientData not string": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"clientData": object{}}))
	},
	"signatures/signHash|digest length does not fit hash algorithm": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"hashes": [][]byte{make([]byte, 20)}}))
	},
	"signatures/signHash|SAD expired": func(d *desk) *reply {
		d.SAM.Expire(d.sid)
		return d.call("signatures/signHash", d.credential, d.signHash(nil))
	},
	"signatures/signHash|hashAlgorithmOID missing when required": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"signAlgo": signing.OIDECPublicKey}))
	},
	"signatures/signHash|hashAlgorithmOID invalid": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"hashAlgorithmOID": "1.3.14.3.2.26"}))
	},
	"signatures/signHash+signDoc|operationMode invalid": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"operationMode": "A"}))
	},
	"signatures/signHash+signDoc|validity_period invalid": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"validity_period": "1h"}))
	},
	"signatures/signHash+signDoc|validity_period out of bounds": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"validity_period": -1}))
	},
	"signatures/signHash+signDoc|response_uri invalid": func(d *desk) *reply {
		return d.call("signatures/signHash", d.credential, d.signHash(object{"response_uri": "nowhere"}))
	},
	"signatures/signHash+signDoc|expired credential": func(d *desk) *reply {
		old := d.expiredCredential()
		return d.call("signatures/signHash", old, d.signHash(object{"credentialID": "expired"}))
	},
	"signatures/timestamp|hash missing/not string": func(d *desk) *reply {
		return d.call("signatures/timestamp", d.service, d.timestamp(object{"hash": []string{d.hash}}))
	},
	"signatures/timestamp|hash empty": func(d *desk) *reply {
		return d.call("signatures/timestamp", d.service, d.timestamp(object{"hash": ""}))
	},
	"signatures/timestamp|hash length": func(d *desk) *reply {
		return d.call("signatures/timestamp", d.service, d.timestamp(object{"hashAlgo": signing.OIDSHA512}))
	},
	"signatures/timestamp|hash not base64": func(d *desk) *reply {
		return d.call("signatures/timestamp", d.service, d.timestamp(object{"hash": "not base64!"}))
	},
	"signatures/timestamp|hashAlgo invalid": func(d *desk) *reply {
		return d.call("signatures/timestamp", d.service, d.timestamp(object{"hashAlgo": "1.3.14.3.2.26"}))
	},
	"signatures/timestamp|nonce invalid or non-numeric": func(d *desk) *reply {
		return d.call("signatures/timestamp", d.service, d.timestamp(object{"nonce": "yesterday"}))
	},
}

// expiredCredential adds a credential whose certificate has ended and returns a
// token for it.
func (d *desk) expiredCredential() string {
	cert := expired(d)
	d.SAM.Add(csctest.Credential("expired", csctest.SignerID, signing.P256, cert, d.PKI.CA.Cert), d.PKI.Signer.Key)
	return d.Token(csc.Caller{
		Org: csctest.Org, Client: csctest.ClientID, Subject: csctest.SignerID, Scope: csc.ScopeCredential, Credential: "expired",
		SID: d.SAM.Approve(csctest.ClientID, "expired", nil),
	})
}

func TestErrorsAreInTheSpecificationsWords(t *testing.T) {
	table, err := os.ReadFile("testdata/errors-v2.tsv")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(table)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		status, err := strconv.Atoi(c[2])
		if err != nil {
			t.Fatal(err)
		}
		rows++
		t.Run(c[0]+" "+c[1], func(t *testing.T) {
			try, ok := errorRows[c[0]+"|"+c[1]]
			if !ok {
				t.Fatal("no request leads to this row")
			}
			d := newDesk(t, signing.P256)
			r := try(d)
			if r.status != status || r.Code != c[3] || r.Description != c[4] {
				t.Errorf("got %d %q %q, want %d %q %q", r.status, r.Code, r.Description, status, c[3], c[4])
			}
			if n := d.SAM.Made(); n != 0 {
				t.Errorf("%d signatures were made", n)
			}
		})
	}
	if rows != len(errorRows) || rows < 30 {
		t.Errorf("%d rows in the table, %d requests", rows, len(errorRows))
	}
}

func TestTokensThatDoNotCount(t *testing.T) {
	d := newDesk(t, signing.P256)
	old := d.Token(csc.Caller{Org: csctest.Org, Client: csctest.ClientID, Scope: csc.ScopeService, Expires: time.Now().Add(-time.Minute)})
	rows := map[string]struct {
		header    string
		want      *csc.Error
		challenge string
	}{
		"none":    {"", csc.ErrInvalidToken, "Bearer"},
		"unknown": {"Bearer nobody", csc.ErrInvalidToken, `Bearer error="invalid_token"`},
		"expired": {"Bearer " + old, csc.ErrExpiredToken, `Bearer error="invalid_token"`},
		"DPoP":    {"DPoP nobody", csc.ErrInvalidToken, `DPoP algs="ES256", error="invalid_token"`},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			r := d.call("credentials/list", row.header, object{})
			if r.status != http.StatusUnauthorized || r.Code != row.want.Code || r.Description != row.want.Description {
				t.Errorf("got %d %+v", r.status, r.Error)
			}
			if got := r.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, row.challenge) {
				t.Errorf("challenge %q, want %q", got, row.challenge)
			}
		})
	}
}
