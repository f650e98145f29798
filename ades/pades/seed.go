package pades

import (
	"bytes"
	"slices"
	"strings"

	"github.com/countersign/countersign/ades/pdf"
	"github.com/countersign/countersign/internal/fault"
)

// The flags of a seed value dictionary that say which entries are binding
// (ISO 32000-2, Table 237).
const (
	seedFilter = 1 << iota
	seedSubFilter
	seedVersion
	seedReasons
	seedLegalAttestation
	seedAddRevInfo
	seedDigestMethod
	seedLockDocument
	seedAppearanceFilter
)

func seedRefusal(format string, args ...any) error {
	return fault.New(fault.Invalid, "the signature field demands "+format, args...).WithCode(CodeSeedValue)
}

// seedValue holds the options against the field's seed value dictionary.
func (d *draft) seedValue(o *Options) error {
	sv, err := d.f.Dict(d.target.Dict.Get("SV"))
	if err != nil || sv == nil {
		return err
	}
	flags, _, err := d.f.Int(sv.Get("Ff"))
	if err != nil {
		return err
	}
	s := &seed{f: d.f, sv: sv, flags: flags, o: o}
	for _, check := range []func() error{s.format, s.reasons, s.digest, s.certification, s.timestamp, s.certificate, s.rest} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

type seed struct {
	f     *pdf.File
	sv    *pdf.Dict
	flags int64
	o     *Options
}

func (s *seed) binding(flag int64) bool { return s.flags&flag != 0 }

// texts reads an array of names or text strings.
func (s *seed) texts(obj pdf.Object) ([]string, error) {
	list, err := s.f.Array(obj)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, x := range list {
		x, err := s.f.Resolve(x)
		if err != nil {
			return nil, err
		}
		switch x := x.(type) {
		case pdf.Name:
			out = append(out, string(x))
		case pdf.String:
			out = append(out, pdf.DecodeText(x))
		}
	}
	return out, nil
}

func (s *seed) format() error {
	filter, err := s.f.Name(s.sv.Get("Filter"))
	if err != nil {
		return err
	}
	if s.binding(seedFilter) && filter != "" && filter != "Adobe.PPKLite" {
		return seedRefusal("the signature handler %q", string(filter))
	}
	sub, err := s.texts(s.sv.Get("SubFilter"))
	if err != nil {
		return err
	}
	if s.binding(seedSubFilter) && len(sub) > 0 && !slices.Contains(sub, "ETSI.CAdES.detached") {
		return seedRefusal("the signature format %s instead of PAdES", strings.Join(sub, " or "))
	}
	v, err := s.f.Resolve(s.sv.Get("V"))
	if err != nil {
		return err
	}
	if n, ok := v.(pdf.Integer); s.binding(seedVersion) && (!ok || n > 3) {
		return seedRefusal("seed values of a version that is not known")
	}
	return nil
}

// reasons: a list that holds only a full stop, or an empty one, forbids a reason.
func (s *seed) reasons() error {
	if !s.binding(seedReasons) {
		return nil
	}
	list, err := s.texts(s.sv.Get("Reasons"))
	if err != nil {
		return err
	}
	if len(list) == 0 || (len(list) == 1 && list[0] == ".") {
		if s.o.Reason != "" {
			return seedRefusal("a signature without a reason")
		}
		return nil
	}
	if !slices.Contains(list, s.o.Reason) {
		return seedRefusal("one of the reasons %q", list)
	}
	return nil
}

func (s *seed) digest() error {
	if !s.binding(seedDigestMethod) {
		return nil
	}
	list, err := s.texts(s.sv.Get("DigestMethod"))
	if err != nil {
		return err
	}
	ours := strings.ReplaceAll(s.o.Algorithm.Hash().String(), "-", "")
	if len(list) > 0 && !slices.Contains(list, ours) {
		return seedRefusal("the digest algorithm %s", strings.Join(list, " or "))
	}
	return nil
}

func (s *seed) certification() error {
	mdp, err := s.f.Dict(s.sv.Get("MDP"))
	if err != nil || mdp == nil {
		return err
	}
	p, ok, err := s.f.Int(mdp.Get("P"))
	if err != nil {
		return err
	}
	switch {
	case !ok || p < 0 || p > 3:
	case p == 0 && s.o.Certify > 0:
		return seedRefusal("an approval signature, not a certification")
	case p > 0 && int64(s.o.Certify) != p:
		return seedRefusal("a certification of level %d", p)
	}
	return nil
}

func (s *seed) timestamp() error {
	ts, err := s.f.Dict(s.sv.Get("TimeStamp"))
	if err != nil || ts == nil {
		return err
	}
	ff, _, err := s.f.Int(ts.Get("Ff"))
	if err != nil {
		return err
	}
	if ff&1 != 0 && !s.o.Level.atLeast(T) {
		return seedRefusal("a time-stamp: sign at level B-T or above")
	}
	return nil
}

// certificate checks the binding constraints on the signer's certificate that
// can be checked by comparing certificates, and refuses the others.
func (s *seed) certificate() error {
	c, err := s.f.Dict(s.sv.Get("Cert"))
	if err != nil || c == nil {
		return err
	}
	flags, _, err := s.f.Int(c.Get("Ff"))
	if err != nil || flags == 0 {
		return err
	}
	const subject, issuer, url = 1, 2, 64
	if flags&^(subject|issuer|url) != 0 {
		return seedRefusal("a certificate by rules that are not supported (policy, subject name or key usage); sign in another field")
	}
	if flags&subject != 0 {
		if ok, err := s.holds(c.Get("Subject"), s.o.Signer); err != nil || !ok {
			return orElse(err, seedRefusal("another certificate than the signer's"))
		}
	}
	if flags&issuer == 0 {
		return nil
	}
	for _, cert := range s.o.Chain {
		if ok, err := s.holds(c.Get("Issuer"), cert); err != nil || ok {
			return err
		}
	}
	return seedRefusal("a certificate of another issuer")
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// holds reports whether an array of byte strings holds the certificate.
func (s *seed) holds(obj pdf.Object, cert []byte) (bool, error) {
	list, err := s.f.Array(obj)
	if err != nil || cert == nil {
		return false, err
	}
	for _, x := range list {
		x, err := s.f.Resolve(x)
		if err != nil {
			return false, err
		}
		if str, ok := x.(pdf.String); ok && bytes.Equal([]byte(str), cert) {
			return true, nil
		}
	}
	return false, nil
}

func (s *seed) rest() error {
	value, err := s.f.Resolve(s.sv.Get("AddRevInfo"))
	if err != nil {
		return err
	}
	switch {
	case s.binding(seedAddRevInfo) && value == true && !s.o.Level.atLeast(LT):
		return seedRefusal("revocation data: sign at level B-LT or above")
	case s.binding(seedLegalAttestation) && s.o.Certify > 0:
		return seedRefusal("a legal attestation, which is not supported")
	case s.binding(seedLockDocument):
		return seedRefusal("locking the document in a way that is not supported")
	case s.binding(seedAppearanceFilter):
		return seedRefusal("a certain appearance, which is not supported")
	}
	return nil
}
