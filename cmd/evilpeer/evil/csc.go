package evil

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/signing"
)

// maxBody bounds what is read.
const maxBody = 256 << 10

func read(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(v); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", "not JSON")
		return false
	}
	return true
}

func bearer(r *http.Request) string {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token
}

// isToken refuses a token that was not given out.
func (p *Peer) isToken(w http.ResponseWriter, r *http.Request) bool {
	p.mu.Lock()
	_, ok := p.tokens[bearer(r)]
	p.mu.Unlock()
	if !ok {
		refuse(w, http.StatusUnauthorized, "invalid_token", "")
	}
	return ok
}

func (p *Peer) list(w http.ResponseWriter, r *http.Request) {
	var q csc.CredentialsListRequest
	if !p.isToken(w, r) || !read(w, r, &q) {
		return
	}
	out := csc.CredentialsListResponse{CredentialIDs: []string{}}
	if q.UserID == "" || q.UserID == SignerID {
		info := p.describe()
		info.CredentialID = CredentialID
		out.CredentialIDs, out.CredentialInfos = append(out.CredentialIDs, CredentialID), append(out.CredentialInfos, info)
	}
	answer(w, http.StatusOK, out)
}

func (p *Peer) info(w http.ResponseWriter, r *http.Request) {
	var q csc.CredentialsInfoRequest
	if !p.isToken(w, r) || !read(w, r, &q) {
		return
	}
	if q.CredentialID != CredentialID {
		refuse(w, http.StatusBadRequest, "invalid_request", "Invalid parameter credentialID")
		return
	}
	answer(w, http.StatusOK, p.describe())
}

func (p *Peer) describe() csc.CredentialInfo {
	lie, lied := p.current()
	id, scal, qualifier := p.ca.signer, "2", "eu_eidas_aes"
	switch {
	case lie == OtherCertificate && lied:
		id = p.ca.other
	case lie == WeakerControl && lied:
		scal = "1"
	case lie == WeakerClaim:
		qualifier = "eu_eidas_qes"
	}
	return csc.CredentialInfo{
		Description: "Eve", SignatureQualifier: qualifier, SCAL: scal, Multisign: 100,
		Key:  csc.KeyInfo{Status: "enabled", Algo: []string{signing.ECDSAWithSHA256.OID()}, Len: 256, Curve: signing.P256.CurveOID()},
		Cert: csc.CertInfo{Status: "valid", Certificates: []string{encode(id.cert.Raw), encode(p.ca.root.cert.Raw)}},
		Auth: csc.AuthInfo{Mode: "oauth2code", Objects: []csc.AuthObject{}},
	}
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// signHash signs whatever arrives, as often as it arrives: that a hash is signed
// once is the gateway's to see to.
func (p *Peer) signHash(w http.ResponseWriter, r *http.Request) {
	var q csc.SignHashRequest
	if !p.isToken(w, r) || !read(w, r, &q) {
		return
	}
	lie, _ := p.current()
	p.mu.Lock()
	p.requests++
	p.mu.Unlock()
	if lie == Refuses {
		refuse(w, http.StatusBadRequest, "invalid_request", "Hash is not authorized by the SAD")
		return
	}
	var out csc.SignHashResponse
	for _, h := range q.Hashes {
		sig, err := p.sign(lie, h)
		if err != nil {
			refuse(w, http.StatusBadRequest, "invalid_request", err.Error())
			return
		}
		out.Signatures = append(out.Signatures, sig)
	}
	p.mu.Lock()
	for i, h := range q.Hashes {
		p.signed[h]++
		p.made[bearer(r)+" "+h] = out.Signatures[i]
	}
	p.lied = true
	p.mu.Unlock()
	p.tell(w, r, lie, out)
}

func (p *Peer) sign(lie Lie, hash string) (string, error) {
	digest, err := base64.StdEncoding.DecodeString(hash)
	if err != nil {
		return "", err
	}
	key := p.ca.signer.key
	switch lie { //nolint:exhaustive // the others sign rightly
	case WrongHash:
		sum := sha256.Sum256(digest)
		digest = sum[:]
	case OtherKey, OtherCertificate:
		key = p.ca.other.key
	case BadDER:
		return encode([]byte{0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00}), nil
	}
	sig, err := key.Sign(rand.Reader, digest, nil)
	if err != nil {
		return "", err
	}
	return encode(sig), nil
}

// tell answers, or does not.
func (p *Peer) tell(w http.ResponseWriter, r *http.Request, lie Lie, out csc.SignHashResponse) {
	switch lie { //nolint:exhaustive // the others answer rightly
	case Swapped:
		slices.Reverse(out.Signatures)
	case TooMany:
		out.Signatures = append(out.Signatures, out.Signatures[0])
	case Garbage:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"signatures": "\u202e<html>`))
		return
	case Trouble:
		http.Error(w, "trouble", http.StatusInternalServerError)
		return
	case Slow:
		p.hang(r)
		return
	case Silent:
		panic(http.ErrAbortHandler)
	case Endless:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"signatures":["`))
		for blank := bytes.Repeat([]byte("A"), 64<<10); ; {
			if _, err := w.Write(blank); err != nil {
				return
			}
		}
	}
	answer(w, http.StatusOK, out)
}

// result gives what was signed with the token.
func (p *Peer) result(w http.ResponseWriter, r *http.Request) {
	var q csc.SignHashRequest
	if !p.isToken(w, r) || !read(w, r, &q) {
		return
	}
	var out csc.SignHashResponse
	p.mu.Lock()
	for _, h := range q.Hashes {
		if sig, ok := p.made[bearer(r)+" "+h]; ok {
			out.Signatures = append(out.Signatures, sig)
		}
	}
	p.mu.Unlock()
	if len(out.Signatures) == 0 || len(out.Signatures) != len(q.Hashes) {
		refuse(w, http.StatusNotFound, "not_found", "")
		return
	}
	answer(w, http.StatusOK, out)
}
