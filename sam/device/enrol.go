package device

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
)

// Enrolment is what a person needs to make this device an authenticator: the URL
// from the registration authority, the activation code from another channel, a PIN
// of their own choice.
type Enrolment struct {
	URL  string
	Code string
	PIN  string // 6 to 12 digits
	Name string // of the device, e.g. "Ada's laptop"
	Path string // of the key file, which must not exist
	// Machine enrols a machine that uses a seal without a person: it has no PIN, and
	// its key approves nothing but its own orders.
	Machine bool
	Net     Net
}

// Enrol makes a device key, has it enrolled, and writes it to a file.
func Enrol(ctx context.Context, e Enrolment) (*Key, error) {
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" || !strings.HasPrefix(u.Path, "/enrol/") {
		return nil, fault.New(fault.Invalid, "%q is not an enrolment URL", e.URL)
	}
	file, err := reserve(e.Path)
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = file.Close() // closed before where it matters
		_ = os.Remove(file.Name())
	}()
	k, err := newKey()
	if err != nil {
		return nil, err
	}
	k.Approval, k.Name = origin(u), e.Name
	req, err := k.request(strings.TrimPrefix(u.Path, "/enrol/"), e)
	if err != nil {
		return nil, err
	}
	b := newBrowser(e.Net)
	var done samapi.Enrolled
	if err := b.post(ctx, u.String(), req, &done); err != nil {
		return nil, fmt.Errorf("enrol this device: %w", err)
	}
	k.Module, k.Authenticator, k.Signer, k.SignerName = done.Module, done.Authenticator, done.Signer, done.SignerName
	return k, k.write(file, e.Path)
}

// request is the device's wish with the proof of its key.
func (k *Key) request(enrolment string, e Enrolment) (*samapi.Enrol, error) {
	spki, err := k.spki()
	if err != nil {
		return nil, err
	}
	mechanism := samapi.DeviceKey
	if e.Machine {
		mechanism = samapi.Delegation
	}
	challenge, err := samapi.EnrolChallenge(enrolment, mechanism, spki)
	if err != nil {
		return nil, err
	}
	sig, err := k.sign(challenge)
	if err != nil {
		return nil, fmt.Errorf("prove the device key: %w", err)
	}
	return &samapi.Enrol{
		Code: e.Code, Mechanism: mechanism, Name: e.Name, SPKI: spki, Signature: sig, PIN: e.PIN,
	}, nil
}
