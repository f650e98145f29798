package oauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// proofAge is how old a DPoP proof may be.
const proofAge = time.Minute

// proof is a DPoP proof (RFC 9449 §4.2), with its signature verified and nothing
// else checked.
type proof struct {
	jkt    string // thumbprint of its key
	claims object
}

// parseProof reads a DPoP proof and verifies that the key inside made it.
func parseProof(raw string) (*proof, error) {
	t, err := parseJWT(raw)
	if err != nil {
		return nil, err
	}
	if t.typ != "dpop+jwt" {
		return nil, errProof("typ is not dpop+jwt")
	}
	k, err := parsePublicKey(t.header["jwk"])
	if err != nil {
		return nil, errProof("jwk: " + err.Error())
	}
	if err := t.verify(k.key); err != nil {
		return nil, err
	}
	return &proof{jkt: k.thumbprint, claims: t.claims}, nil
}

func errProof(what string) *oauthError {
	return refuse(codeInvalidDPoP, "DPoP: "+what+".")
}

// dpop checks the DPoP proof of a request, if it has one, for this method and
// path. token is the access token it comes with, or empty. It returns the
// thumbprint of the key, empty without a proof, and what must be seen once.
func (s *Server) dpop(r *http.Request, token string) (jkt string, seen []once, err error) {
	values := r.Header.Values("DPoP")
	if len(values) == 0 {
		return "", nil, nil
	}
	if len(values) > 1 {
		return "", nil, errProof("there is more than one proof")
	}
	p, err := parseProof(values[0])
	if err != nil {
		if e := asOAuth(err); e.code == codeInvalidDPoP {
			return "", nil, e
		}
		return "", nil, errProof(err.Error())
	}
	if err := s.checkProof(p, r, token); err != nil {
		return "", nil, err
	}
	jti, err := p.claims.text("jti")
	if err != nil || jti == "" || len(jti) > 256 {
		return "", nil, errProof("jti is missing or too long")
	}
	return p.jkt, []once{{
		id: digestHex("dpop", p.jkt, jti), expires: s.now().Add(proofAge + 2*clockSkew),
		refusal: errProof("its jti was used before"),
	}}, nil
}

// checkProof compares the claims with the request (RFC 9449 §4.3).
func (s *Server) checkProof(p *proof, r *http.Request, token string) error {
	htm, err := p.claims.text("htm")
	if err != nil || htm != r.Method {
		return errProof("htm is not the method of this request")
	}
	htu, err := p.claims.text("htu")
	if err != nil || !s.isHere(htu, r) {
		return errProof("htu is not the URI of this request")
	}
	iat, ok, err := p.claims.seconds("iat")
	now := s.now()
	if err != nil || !ok || time.Unix(iat, 0).Before(now.Add(-proofAge)) || time.Unix(iat, 0).After(now.Add(clockSkew)) {
		return errProof("iat is not the present time")
	}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		ath, err := p.claims.text("ath")
		if err != nil || !hmac.Equal([]byte(ath), []byte(base64.RawURLEncoding.EncodeToString(sum[:]))) {
			return errProof("ath is not the digest of the access token")
		}
		return nil
	}
	if nonce, err := p.claims.text("nonce"); s.nonceLife > 0 && (err != nil || !s.isNonce(nonce)) {
		return refuse(codeUseDPoPNonce, "DPoP: use the nonce of the DPoP-Nonce header.")
	}
	return nil
}

// isHere reports whether htu is the URI of this request. The origin is that of the
// issuer, never the Host header, which a caller chooses.
func (s *Server) isHere(htu string, r *http.Request) bool {
	u, err := url.Parse(htu)
	if err != nil || u.User != nil || u.Opaque != "" {
		return false
	}
	return origin(u) == s.origin && u.EscapedPath() == r.URL.EscapedPath()
}

// origin is scheme, host and port of u in one spelling (RFC 3986 §6.2).
func origin(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return scheme + "://" + host
}

// nonce makes a nonce for DPoP proofs: the time and a MAC over it, so that nothing
// has to be remembered.
func (s *Server) nonce() string {
	at := binary.BigEndian.AppendUint64(nil, uint64(s.now().Unix())) //nolint:gosec // after 1970
	return base64.RawURLEncoding.EncodeToString(append(at, mac(s.keys.nonce[0], at)[:16]...))
}

func (s *Server) isNonce(nonce string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(b) != 24 {
		return false
	}
	at := time.Unix(int64(binary.BigEndian.Uint64(b)), 0) //nolint:gosec // made by nonce, or refused below
	for _, key := range s.keys.nonce {
		if hmac.Equal(b[8:], mac(key, b[:8])[:16]) {
			return !at.Add(s.nonceLife).Before(s.now())
		}
	}
	return false
}

// unmarshal is json.Unmarshal for a member that may be absent.
func unmarshal(raw json.RawMessage, v any) error {
	if len(raw) == 0 {
		raw = json.RawMessage("null")
	}
	return json.Unmarshal(raw, v)
}
