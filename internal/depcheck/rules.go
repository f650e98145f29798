package depcheck

// House is the plan of this module.
func House() Rules {
	return Rules{
		Module: "github.com/countersign/countersign",
		Floors: [][]string{
			0: {"signing", "internal/fault", "internal/loopback"},
			1: {
				"csc", "ades/...", "keystore", "sam/samapi", "sam/sad", "sam/webauthn",
				"internal/store/...", "internal/web", "internal/ui", "internal/audit", "internal/jobs", "internal/i18n",
				"internal/config",
			},
			2: {
				"sam", "pki/...", "csc/cscserver", "csc/cscclient", "keystore/soft", "keystore/pkcs11",
				"internal/httpd", "internal/metrics",
			},
			3: {
				"oauth/...", "federation/...", "relyingparty/...", "conformance/...", "csc/cscsam", "sam/samrpc", "sam/approval", "sam/device",
			},
			4: {"relyingparty/portal/...", "relyingparty/signer", "relyingparty/keys"},
			5: {"cmd/...", "tools/...", "internal/depcheck", "internal/e2e/..."},
		},
		Neighbours: []Edge{
			{"internal/audit", "internal/store", "events are appended in the caller's transaction"},
			{"internal/jobs", "internal/store", "jobs are made in the caller's transaction"},
			{"internal/ui", "internal/i18n", "pages speak the reader's language"},
			{"sam/samapi", "sam/sad", "an intent carries the parts of a SAD"},
			{"relyingparty/portal/...", "relyingparty/signer", "the portal signs through it"},
			{"relyingparty/keys", "relyingparty/signer", "requests are signed through it"},
		},
		Never: []Never{
			{
				[]string{"ades/...", "signing"},
				[]string{"net/http", "database/sql", "os/exec"},
				"a document goes nowhere from the code that handles it, and net/http doubles the WASM program",
			},
			{
				[]string{"relyingparty/..."},
				[]string{"sam/...", "keystore/..."},
				"a relying party has no keys and asks for signatures over HTTP like everybody else",
			},
			{
				[]string{"federation/..."},
				[]string{"ades/...", "sam/..."},
				"it sees hashes only",
			},
			{
				[]string{"sam/...", "cmd/countersign-sam"},
				[]string{"oauth/...", "csc/...", "federation/...", "relyingparty/...", "internal/httpd", "github.com/gorilla/...", "github.com/ory/..."},
				"the trusted base stays small enough to be read",
			},
			{
				[]string{"oauth/...", "federation/...", "csc/...", "relyingparty/..."},
				[]string{"sam", "keystore/soft", "keystore/pkcs11"},
				"the tier that holds tokens cannot use a signer's key",
			},
			{
				[]string{"cmd/countersign"},
				[]string{"keystore/pkcs11", "github.com/miekg/..."},
				"a vendor's library runs in the module's process only; this program needs no cgo",
			},
			{
				[]string{"signing", "sam/samapi", "sam/sad"},
				[]string{"net/http", "database/sql", "os/exec"},
				"words and types do nothing by themselves",
			},
		},
		Homes: []Home{
			{"github.com/gorilla/mux", []string{"internal/httpd"}},
			{"github.com/ory/fosite", []string{"oauth/..."}},
			{"github.com/lestrrat-go/jwx/v2", []string{"oauth/...", "sam/...", "federation/..."}},
			{"github.com/ThalesGroup/crypto11", []string{"keystore/pkcs11"}},
			{"github.com/ThalesIgnite/crypto11", []string{"keystore/pkcs11"}},
			{"github.com/miekg/pkcs11", []string{"keystore/pkcs11"}},
			{"github.com/jackc/pgx/v5", []string{"internal/store/..."}},
			{"modernc.org/sqlite", []string{"internal/store/..."}},
			{"github.com/pressly/goose/v3", []string{"internal/store/..."}},
			{"github.com/digitorus/pkcs7", []string{"ades/..."}},
			{"github.com/digitorus/timestamp", []string{"ades/..."}},
			{"github.com/sony/gobreaker/v2", []string{"federation/..."}},
			{"github.com/hashicorp/go-retryablehttp", []string{"csc/cscclient", "federation/..."}},
			{"github.com/alecthomas/kong", []string{"cmd/..."}},
			{"github.com/knadh/koanf", []string{"internal/config"}},
			{"github.com/prometheus/client_golang", []string{"internal/httpd", "internal/metrics", "cmd/..."}},
			{"go.opentelemetry.io", []string{"internal/httpd", "internal/metrics", "cmd/..."}},
			{"github.com/nicksnyder/go-i18n/v2", []string{"internal/i18n"}},
			{"github.com/emersion/go-msgauth", []string{"relyingparty/notify"}},
			{"github.com/emersion/go-sasl", []string{"relyingparty/notify"}},
			{"github.com/emersion/go-smtp", []string{"relyingparty/notify"}},
			{"github.com/wneessen/go-mail", []string{"relyingparty/notify"}},
			{"github.com/andybalholm/brotli", []string{"tools/..."}},
			{"rsc.io/qr", []string{"sam/approval", "relyingparty/portal/desk"}},
			{"github.com/rogpeppe/go-internal", []string{"cmd/..."}},
			{"golang.org/x/image", []string{"ades/fonts"}},
			{"golang.org/x/mod", []string{"internal/audit", "tools/...", "cmd/..."}},
			{"golang.org/x/term", []string{"cmd/...", "sam/device"}},
			{"golang.org/x/crypto", []string{"..."}},
			{"golang.org/x/sync", []string{"..."}},
			{"golang.org/x/sys", []string{"..."}},
			{"golang.org/x/text", []string{"..."}},
		},
		TestFloor:   5,
		TestSupport: []string{"internal/faultnet"},
		Ignore:      []string{"internal/deps"}, // keeps modules in go.mod while the tree grows
	}
}

// Assembling is what holds for the program that assembles signatures in browsers,
// built with the tag assemble.
func Assembling() Rules {
	r := House()
	r.Never = []Never{{
		[]string{"cmd/countersign-wasm"},
		[]string{"crypto/x509", "crypto/ecdsa", "crypto/rsa", "encoding/json", "image/...", "net", "net/http", "database/sql", "os/exec"},
		"what only reads signatures would make the program half as large again",
	}}
	return r
}

// Browser is what holds for the code that runs in browsers, besides House.
func Browser() Rules {
	r := House()
	r.Never = append(r.Never, Never{
		[]string{"ades/...", "signing", "cmd/countersign-wasm/..."},
		[]string{"net/http", "database/sql", "os/exec", "github.com/digitorus/..."},
		"in the browser there is the standard library and x/crypto/cryptobyte; the network is JavaScript's",
	})
	return r
}
