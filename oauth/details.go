package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/signing"
)

// Limits of one authorization; a credential's multisign is usually lower.
const (
	maxDocuments = 1000
	maxLabel     = 512 // bytes
)

// intent is what a credential authorization asks for.
type intent struct {
	Credential string
	HashOID    string
	Qualifier  string
	Documents  []Document
}

// parseDetails reads authorization_details (RFC 9396 §2): exactly one member of
// type credential (CSC API v2 §8.2.2). Members it does not know are ignored, as
// the specification adds some with each version; a member twice is refused.
func parseDetails(text string) (*intent, error) {
	if err := unambiguous([]byte(text)); err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if json.Unmarshal([]byte(text), &list) != nil {
		return nil, errors.New("it is not a JSON array")
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("it has %d members, and one authorization is for one credential", len(list))
	}
	o, err := parseObject(list[0])
	if err != nil {
		return nil, err
	}
	return detail(o)
}

func detail(o object) (*intent, error) {
	t, err := o.text("type")
	if err != nil {
		return nil, err
	}
	if t != csc.DetailType20 && t != csc.DetailType22 {
		return nil, fmt.Errorf("type %.80q is not offered", t)
	}
	var in intent
	if in.Credential, err = o.text("credentialID"); err != nil {
		return nil, err
	}
	if in.HashOID, err = o.text("hashAlgorithmOID"); err != nil {
		return nil, err
	}
	if in.Qualifier, err = o.text("signatureQualifier"); err != nil {
		return nil, err
	}
	var digests []json.RawMessage
	if o.has("documentDigests") && json.Unmarshal(o["documentDigests"], &digests) != nil {
		return nil, errors.New("documentDigests is not an array")
	}
	if len(digests) > maxDocuments {
		return nil, fmt.Errorf("documentDigests has more than %d members", maxDocuments)
	}
	for i, raw := range digests {
		d, err := document(raw)
		if err != nil {
			return nil, fmt.Errorf("documentDigests[%d]: %w", i, err)
		}
		if d.Label == "" {
			d.Label = numbered(unnamed, i, len(digests))
		}
		in.Documents = append(in.Documents, d)
	}
	n, given, err := o.integer("numSignatures")
	if err != nil {
		return nil, err
	}
	return &in, in.check(n, given)
}

func document(raw json.RawMessage) (Document, error) {
	var d Document
	o, err := parseObject(raw)
	if err != nil {
		return d, err
	}
	kind, err := o.text("hashType")
	if err != nil {
		return d, err
	}
	if kind != "" && !strings.EqualFold(kind, "dtbsr") {
		return d, fmt.Errorf("hashType %.20q is not offered: send the DTBSR that is to be signed", kind)
	}
	if d.Label, err = o.text("label"); err != nil {
		return d, err
	}
	if !presentable(d.Label) {
		return d, fmt.Errorf("label is longer than %d bytes or has control characters", maxLabel)
	}
	if d.Size, _, err = o.integer("size"); err != nil {
		return d, err
	}
	if d.Size < 0 {
		return d, errors.New("size is negative")
	}
	for name, to := range map[string]*[]byte{"hash": &d.DTBSR, "docHash": &d.DocHash, "signedAttrs": &d.SignedAttrs} {
		text, err := o.text(name)
		if err != nil {
			return d, err
		}
		if *to, err = decodeBase64(text); err != nil {
			return d, fmt.Errorf("%s: %w", name, err)
		}
	}
	return d, nil
}

// unnamed is the label of a document that the client did not name.
const unnamed = "Document"

// numbered tells documents of one name apart.
func numbered(label string, i, n int) string {
	if n == 1 {
		return label
	}
	return label + " (" + strconv.Itoa(i+1) + "/" + strconv.Itoa(n) + ")"
}

// presentable reports whether a label can be shown to a signer as it is: no
// control characters, and none that reorder the text around them.
func presentable(s string) bool {
	return len(s) <= maxLabel && !strings.ContainsFunc(s, func(c rune) bool {
		return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c)
	})
}

// check applies the rules that bind the members to each other and fills in the
// digest algorithm where the length tells it.
func (in *intent) check(count int64, counted bool) error {
	if in.Credential == "" {
		return errors.New("credentialID is missing: name the credential that is to sign")
	}
	if len(in.Credential) > 255 || strings.ContainsFunc(in.Credential, unicode.IsControl) {
		return errors.New("credentialID is longer than 255 bytes or has control characters")
	}
	if len(in.Qualifier) > 255 || strings.ContainsFunc(in.Qualifier, unicode.IsControl) {
		return errors.New("signatureQualifier is longer than 255 bytes or has control characters")
	}
	if len(in.Documents) == 0 {
		return errors.New("the digests are missing: a signer approves exactly what will be signed")
	}
	if counted && count != int64(len(in.Documents)) {
		return fmt.Errorf("numSignatures is %d with %d digests: each signature needs its digest", count, len(in.Documents))
	}
	if in.HashOID == "" {
		in.HashOID = oidByLength(len(in.Documents[0].DTBSR))
	}
	h, err := signing.HashByOID(in.HashOID)
	if err != nil {
		return fmt.Errorf("hashAlgorithmOID %.40q is not offered", in.HashOID)
	}
	for i, d := range in.Documents {
		if _, err := signing.NewDigest(h, d.DTBSR); err != nil {
			return fmt.Errorf("digest %d: %w", i+1, err)
		}
	}
	return nil
}

// oidByLength names the digest algorithm of that many bytes; CSC v1 has no other way.
func oidByLength(n int) string {
	return map[int]string{32: signing.OIDSHA256, 48: signing.OIDSHA384, 64: signing.OIDSHA512}[n]
}

// parseCredentialForm reads the parameters of scope credential that come without
// authorization_details (CSC API v2 §8.2.2; v1 names the digests hash). It returns
// nil if none is there.
func parseCredentialForm(form url.Values) (*intent, error) {
	id, list := form.Get("credentialID"), form.Get("hashes")
	if v1 := form.Get("hash"); v1 != "" {
		if list != "" && list != v1 {
			return nil, errors.New("hash and hashes are both given and differ")
		}
		list = v1
	}
	if id == "" && list == "" && form.Get("numSignatures") == "" && form.Get("hashAlgorithmOID") == "" {
		return nil, nil //nolint:nilnil // no parameters, no wish
	}
	in := &intent{Credential: id, HashOID: form.Get("hashAlgorithmOID"), Qualifier: form.Get("signatureQualifier")}
	digests, err := parseHashes(list)
	if err != nil {
		return nil, err
	}
	label := form.Get("description")
	if !presentable(label) {
		return nil, fmt.Errorf("description is longer than %d bytes or has control characters", maxLabel)
	}
	if label == "" {
		label = unnamed
	}
	for i, d := range digests {
		in.Documents = append(in.Documents, Document{Label: numbered(label, i, len(digests)), DTBSR: d})
	}
	var count int64
	if n := form.Get("numSignatures"); n != "" {
		if count, err = strconv.ParseInt(n, 10, 32); err != nil {
			return nil, errors.New("numSignatures is not an integer")
		}
	}
	return in, in.check(count, form.Get("numSignatures") != "")
}

// parseHashes reads a list of digests, which the specification separates by
// commas and one client in the field by semicolons.
func parseHashes(list string) ([][]byte, error) {
	if list == "" {
		return nil, nil
	}
	if strings.Contains(list, "%") { // encoded once more, commas included
		u, err := url.PathUnescape(list)
		if err != nil {
			return nil, errors.New("the digests are not base64")
		}
		list = u
	}
	parts := strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ';' })
	if len(parts) > maxDocuments {
		return nil, fmt.Errorf("there are more than %d digests", maxDocuments)
	}
	digests := make([][]byte, len(parts))
	for i, p := range parts {
		d, err := decodeBase64(p)
		if err != nil || len(d) == 0 {
			return nil, fmt.Errorf("digest %d is not base64", i+1)
		}
		digests[i] = d
	}
	return digests, nil
}

// decodeBase64 is csc.DecodeBase64 that also takes the blank that an unescaped plus
// sign becomes in a form.
func decodeBase64(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	return csc.DecodeBase64(strings.ReplaceAll(s, " ", "+"))
}

// agrees reports whether the parameters beside authorization_details say nothing
// else than these.
func (in *intent) agrees(form url.Values) error {
	if id := form.Get("credentialID"); id != "" && id != in.Credential {
		return errors.New("credentialID differs from authorization_details")
	}
	if oid := form.Get("hashAlgorithmOID"); oid != "" && oid != in.HashOID {
		return errors.New("hashAlgorithmOID differs from authorization_details")
	}
	if n := form.Get("numSignatures"); n != "" && n != strconv.Itoa(len(in.Documents)) {
		return errors.New("numSignatures differs from authorization_details")
	}
	for _, name := range []string{"hash", "hashes"} {
		digests, err := parseHashes(form.Get(name))
		if err != nil {
			return err
		}
		if digests != nil && !slices.EqualFunc(digests, in.Documents, func(d []byte, doc Document) bool { return slices.Equal(d, doc.DTBSR) }) {
			return fmt.Errorf("%s differs from authorization_details", name)
		}
	}
	return nil
}
