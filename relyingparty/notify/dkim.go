package notify

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// Envelope is a mail ready to leave: the whole message as bytes, DKIM-signed.
type Envelope struct {
	From string // the envelope's, the same as the header's: aligned
	To   string
	Body []byte
}

// DKIM is how mails are signed (RFC 6376): with the key whose public half is in
// DNS at Selector._domainkey.DOMAIN.
type DKIM struct {
	Domain   string // of From, or above it
	Selector string
	Key      crypto.Signer // RSA of 2048 bits or more, or Ed25519
}

// signer signs mails; nil signs none.
type signer struct{ options dkim.SignOptions }

// signedHeaders are what a signature covers. From is named twice, so that a second
// one that is added on the way breaks it.
var signedHeaders = []string{"From", "From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type", "Content-Language", "Auto-Submitted"}

func newSigner(d DKIM, from string) (*signer, error) {
	if d.Key == nil {
		return nil, nil
	}
	own := strings.ToLower(domain(from))
	if d.Domain == "" {
		d.Domain = own
	}
	if d.Domain = strings.ToLower(d.Domain); own != d.Domain && !strings.HasSuffix(own, "."+d.Domain) {
		return nil, fmt.Errorf("DKIM domain %s does not fit the sender's address %s: receivers would not count the signature (DMARC alignment)", d.Domain, from)
	}
	if d.Selector == "" {
		return nil, fmt.Errorf("DKIM needs a selector")
	}
	switch k := d.Key.Public().(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("the DKIM key has %d bits, at least 2048 are needed", k.N.BitLen())
		}
	case ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("a DKIM key is RSA or Ed25519, not %T", k)
	}
	return &signer{dkim.SignOptions{
		Domain: d.Domain, Selector: d.Selector, Signer: d.Key, Hash: crypto.SHA256,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		HeaderKeys: signedHeaders,
	}}, nil
}

func (s *signer) sign(mail []byte) ([]byte, error) {
	if s == nil {
		return mail, nil
	}
	var b bytes.Buffer
	if err := dkim.Sign(&b, bytes.NewReader(mail), &s.options); err != nil {
		return nil, fmt.Errorf("sign mail: %w", err)
	}
	return b.Bytes(), nil
}
