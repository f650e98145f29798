package federation

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
)

// clockSkew is how far clocks of two services may be apart.
const clockSkew = time.Minute

// Reasons for which a peer is quarantined.
const (
	LieSignature   = "wrong_signature"   // not over the hash that was asked for, or by another key
	LieCertificate = "other_certificate" // signed with another certificate than was shown
	LieLevel       = "weaker_level"      // weaker than it claims, or than it was when it was chosen
	LieRevoked     = "revoked"           // signed with, or calls valid, what its CA has revoked
)

// lie is an answer that no mishap explains.
type lie struct {
	reason string
	detail string
}

// Error implements error.
func (l *lie) Error() string { return l.reason + ": " + l.detail }

func lied(reason, format string, args ...any) *lie {
	return &lie{reason, fmt.Sprintf(format, args...)}
}

// asLie returns the lie in the chain of err, or nil.
func asLie(err error) *lie {
	l, _ := errors.AsType[*lie](err)
	return l
}

// holding is a credential of a peer that was examined.
type holding struct {
	chain  []*x509.Certificate // leaf first, the anchor last
	level  Level
	seal   bool
	scal   int
	digest [32]byte // of the leaf
}

func (h *holding) leaf() *x509.Certificate   { return h.chain[0] }
func (h *holding) issuer() *x509.Certificate { return h.chain[min(1, len(h.chain)-1)] }

// unfit is the answer about a credential that may not be used, though nobody lied.
func unfit(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "this credential cannot be used through this gateway: "+format, args...).WithCode("credential_unfit")
}

// examine holds what a peer says of a credential against its certificate, the
// anchors agreed for the peer, the peer's entry, and what it was when it was chosen,
// if it was.
func (e *entry) examine(info *csc.CredentialInfo, now time.Time, before *handle) (*holding, error) {
	chain, err := parseChain(info.Cert.Certificates)
	if err != nil {
		return nil, unfit("its certificate cannot be read").Because(err)
	}
	h := &holding{digest: sha256.Sum256(chain[0].Raw)}
	if before != nil && h.digest != before.cert {
		return nil, fault.New(fault.Invalid, "the credential has another certificate now: list credentials again and choose").WithCode(codeChanged)
	}
	if h.chain, err = e.chain(chain, now); err != nil {
		return nil, err
	}
	h.level, h.seal = LevelOf(chain[0])
	if !claimHolds(info.SignatureQualifier, h.level) {
		return nil, lied(LieLevel, "it calls its signatures %.40q and the certificate bears out %s only", info.SignatureQualifier, h.level)
	}
	if h.scal, err = strconv.Atoi(info.SCAL); err != nil || info.SCAL == "" {
		h.scal = 1 // CSC API v2 §11.5: the default
	}
	if before != nil {
		if err := h.sameAs(before); err != nil {
			return nil, err
		}
	}
	subject := chain[0].Subject.Country
	switch {
	case !slices.Contains(e.Levels, h.level):
		return nil, unfit("its certificate is of level %s, which is not agreed with %s", h.level, e.Name)
	case h.scal < e.SCAL:
		return nil, unfit("its key is under sole control at SCAL %d, and %d is agreed with %s", h.scal, e.SCAL, e.Name)
	case len(e.Countries) > 0 && !slices.ContainsFunc(subject, func(c string) bool { return slices.Contains(e.Countries, c) }):
		return nil, unfit("its certificate is of a country that is not agreed with %s", e.Name)
	case info.Auth.Mode != "oauth2code":
		return nil, unfit("it is authorised by %.20q, and through a gateway only a page of the holder's own service can approve (oauth2code)", info.Auth.Mode)
	case info.Key.Status != "enabled":
		return nil, unfit("its key is disabled")
	case info.Cert.Status == "revoked" || info.Cert.Status == "suspended" || info.Cert.Status == "expired":
		return nil, unfit("its certificate is %s", info.Cert.Status)
	}
	return h, nil
}

// chain builds the way from the leaf to an anchor of the peer.
func (e *entry) chain(certs []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	leaf := certs[0]
	switch {
	case now.After(leaf.NotAfter):
		return nil, unfit("its certificate ended at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore.Add(-clockSkew)):
		return nil, unfit("its certificate begins at %s, and the clock here says %s", leaf.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case leaf.IsCA:
		return nil, unfit("its certificate is an authority's")
	}
	at := now
	if at.Before(leaf.NotBefore) { // within the skew
		at = leaf.NotBefore
	}
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	ways, err := leaf.Verify(x509.VerifyOptions{Roots: e.anchors, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, unfit("its certificate was not issued under an authority agreed with %s", e.Name).Because(err)
	}
	return ways[0], nil
}

// sameAs compares a credential, of the same certificate, with what it was when it
// was chosen.
func (h *holding) sameAs(before *handle) error {
	switch {
	case h.scal < before.scal:
		return lied(LieLevel, "SCAL was %d when the credential was chosen and is %d now", before.scal, h.scal)
	case !h.level.atLeast(before.level):
		return lied(LieLevel, "the level was %s when the credential was chosen and is %s now", before.level, h.level)
	}
	return nil
}

// maxChain bounds the certificates of one credential.
const maxChain = 10

func parseChain(list []string) ([]*x509.Certificate, error) {
	if len(list) == 0 || len(list) > maxChain {
		return nil, fmt.Errorf("%d certificates", len(list))
	}
	out := make([]*x509.Certificate, len(list))
	for i, text := range list {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		if out[i], err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
	}
	return out, nil
}
