package device

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/countersign/countersign/internal/fault"
)

// Key is a device key with what it was enrolled for.
type Key struct {
	Version       int    `json:"v"`        // 1
	Approval      string `json:"approval"` // the approval origin
	Module        string `json:"module"`   // the module's name in SADs
	Authenticator string `json:"authenticator"`
	Signer        string `json:"signer"`
	SignerName    string `json:"signerName"`
	Name          string `json:"name"` // of the device
	PKCS8         []byte `json:"key"`  // P-256

	key *ecdsa.PrivateKey
}

func newKey() (*Key, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a device key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, fmt.Errorf("make a device key: %w", err)
	}
	return &Key{Version: 1, PKCS8: der, key: k}, nil
}

// Private is the key itself, for a machine that gives orders with it.
func (k *Key) Private() crypto.Signer { return k.key }

func (k *Key) spki() ([]byte, error) { return x509.MarshalPKIXPublicKey(&k.key.PublicKey) }

func (k *Key) sign(challenge []byte) ([]byte, error) {
	return ecdsa.SignASN1(rand.Reader, k.key, challenge)
}

// Load reads a key file. A file that others may read is refused: with the PIN it
// is all that an approval needs.
func Load(path string) (*Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.NotFound, "there is no device key at %s; enrol this device first", path).Because(err)
		}
		return nil, fmt.Errorf("read device key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Invalid, "others can read the device key %s; set its mode to 0600", path)
	}
	data, err := os.ReadFile(path) //nolint:gosec // the path is the user's own
	if err != nil {
		return nil, fmt.Errorf("read device key: %w", err)
	}
	k, err := parseKey(data)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s is not a device key of this program", path).Because(err)
	}
	return k, nil
}

func parseKey(data []byte) (*Key, error) {
	var k Key
	if err := json.Unmarshal(data, &k); err != nil {
		return nil, err
	}
	if k.Version != 1 || k.Approval == "" || k.Module == "" || k.Authenticator == "" {
		return nil, errors.New("version or a name is missing")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(k.PKCS8)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("not a P-256 key")
	}
	k.key = key
	return &k, nil
}

// reserve makes an empty file beside path that only its owner can read. It is made
// before the device is enrolled, so that an enrolled key does not get lost for want
// of a permission.
func reserve(path string) (*os.File, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, errTaken(path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".device-*") // its mode is 0600
	if err != nil {
		return nil, fmt.Errorf("write device key: %w", err)
	}
	return f, nil
}

func errTaken(path string) error {
	return fault.New(fault.Conflict, "%s exists already; name another file, or move it away", path)
}

// write stores the key in the reserved file and gives it its name. An existing file
// is left as it is.
func (k *Key) write(f *os.File, path string) error {
	data, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("write device key: %w", err)
	}
	if _, err = f.Write(append(data, '\n')); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write device key: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil { // fails where Rename would replace
		if errors.Is(err, fs.ErrExist) {
			return errTaken(path)
		}
		return fmt.Errorf("write device key: %w", err)
	}
	return nil
}
