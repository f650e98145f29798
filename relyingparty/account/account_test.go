package account_test

import (
	"bytes"
	"encoding/base32"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/relyingparty/account"
)

type rig struct {
	*testing.T
	*account.Service

	db     *store.DB
	offset atomic.Int64
}

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.offset.Load())) }

func newRig(t *testing.T, db *store.DB) *rig {
	t.Helper()
	r := &rig{T: t, db: db}
	var err error
	if r.Service, err = account.New(t.Context(), account.Config{DB: db, Secret: bytes.Repeat([]byte{1}, 32), Issuer: "Acme", Now: r.now}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) refused(err error, kind fault.Kind, code string) {
	r.Helper()
	if f := fault.Of(err); err == nil || f.Kind != kind || f.Code != code {
		r.Errorf("got %v (%s, %q), want %s, %q", err, f.Kind, f.Code, kind, code)
	}
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

const password = "correct horse battery staple"

var (
	browser = account.Browser{Address: "192.0.2.1", Agent: "Firefox"}
	grace   = account.NewUser{Org: "acme", Email: "Grace@Acme.example", Name: "Grace Hopper", Role: account.Admin, Password: password}
)

// secret is the second factor's secret, as the authenticator app keeps it.
func (r *rig) secret(s account.Setup) []byte {
	r.Helper()
	u, err := url.Parse(s.URL)
	r.must(err)
	if u.Scheme != "otpauth" || u.Query().Get("secret") != s.Secret || u.Query().Get("issuer") != "Acme" {
		r.Errorf("setup %+v", s)
	}
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(s.Secret)
	r.must(err)
	return b
}

// setUp makes an account with a second factor.
func (r *rig) setUp() (account.Session, []byte, []string) {
	r.Helper()
	_, err := r.Create(r.Context(), grace)
	r.must(err)
	s, err := r.Login(r.Context(), "acme", "grace@acme.example", password, browser)
	r.must(err)
	if s.Stage != account.NeedsSetup {
		r.Fatalf("stage %s", s.Stage)
	}
	setup, err := r.SetUp(r.Context(), s.Token, browser)
	r.must(err)
	secret := r.secret(setup)
	done, codes, err := r.Confirm(r.Context(), s.Token, account.CodeAt(secret, r.now()), browser)
	r.must(err)
	return done, secret, codes
}

func TestLoginNeedsPasswordAndCode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		ctx := t.Context()
		done, secret, _ := r.setUp()
		if u, err := r.Session(ctx, done.Token, browser); err != nil || u.User.Email != "grace@acme.example" || !u.User.TOTP {
			t.Fatalf("%+v, %v", u, err)
		}
		r.must(r.Logout(ctx, done.Token))
		_, err := r.Session(ctx, done.Token, browser)
		r.refused(err, fault.Unauthenticated, account.CodeSession)

		for _, wrong := range [][3]string{{"acme", "grace@acme.example", "wrong"}, {"acme", "nobody@acme.example", password}, {"other", "grace@acme.example", password}} {
			_, err := r.Login(ctx, wrong[0], wrong[1], wrong[2], browser)
			r.refused(err, fault.Unauthenticated, account.CodeLogin)
		}
		half, err := r.Login(ctx, "acme", " GRACE@acme.example", password, browser)
		r.must(err)
		if half.Stage != account.NeedsCode {
			t.Fatalf("stage %s", half.Stage)
		}
		_, err = r.Session(ctx, half.Token, browser)
		r.refused(err, fault.Unauthenticated, account.CodeSecond)
		_, err = r.SetUp(ctx, half.Token, browser)
		r.refused(err, fault.Forbidden, account.CodeSecond)
		_, err = r.Code(ctx, half.Token, "000000", browser)
		r.refused(err, fault.Unauthenticated, account.CodeLogin)
		_, err = r.Code(ctx, half.Token, account.CodeAt(secret, r.now()), browser) // the one that set it up
		r.refused(err, fault.Unauthenticated, account.CodeLogin)
		r.offset.Add(int64(time.Minute))
		code := account.CodeAt(secret, r.now())
		whole, err := r.Code(ctx, half.Token, code[:3]+" "+code[3:], browser)
		r.must(err)
		if whole.Token == half.Token || whole.Stage != account.LoggedIn {
			t.Errorf("session %+v", whole)
		}
		_, err = r.Session(ctx, half.Token, browser)
		r.refused(err, fault.Unauthenticated, account.CodeSession)
		again, err := r.Login(ctx, "acme", "grace@acme.example", password, browser)
		r.must(err)
		_, err = r.Code(ctx, again.Token, code, browser)
		r.refused(err, fault.Unauthenticated, account.CodeLogin)
	})
}

func TestRecoveryCodeWorksOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		_, _, codes := r.setUp()
		if len(codes) != 10 {
			t.Fatalf("%d codes", len(codes))
		}
		for i := range 2 {
			half, err := r.Login(t.Context(), "acme", "grace@acme.example", password, browser)
			r.must(err)
			_, err = r.Code(t.Context(), half.Token, strings.ToUpper(codes[3][:5])+"-"+codes[3][5:], browser)
			if i == 0 {
				r.must(err)
				continue
			}
			r.refused(err, fault.Unauthenticated, account.CodeLogin)
		}
	})
}

func TestGuessesAreThrottled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		_, err := r.Create(t.Context(), grace)
		r.must(err)
		var (
			compared atomic.Int64
			wg       sync.WaitGroup
		)
		for range 12 { // at the same time
			wg.Go(func() {
				_, err := r.Login(t.Context(), "acme", "grace@acme.example", "guess", browser)
				if fault.Of(err).Code == account.CodeLogin {
					compared.Add(1)
				} else if fault.Of(err).Code != account.CodeThrottled {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		if compared.Load() != 5 {
			t.Errorf("%d guesses were compared, want 5", compared.Load())
		}
		_, err = r.Login(t.Context(), "acme", "grace@acme.example", password, browser)
		r.refused(err, fault.TooMany, account.CodeThrottled)
		r.offset.Add(int64(time.Minute))
		_, err = r.Login(t.Context(), "acme", "grace@acme.example", password, browser)
		r.must(err)
	})
}

func TestSessionEnds(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	ctx := t.Context()
	s, _, _ := r.setUp()
	_, err := r.Session(ctx, s.Token, account.Browser{Agent: "another"})
	r.refused(err, fault.Unauthenticated, account.CodeSession)
	for range 5 { // used, it lives
		r.offset.Add(int64(119 * time.Minute))
		if _, err := r.Session(ctx, s.Token, browser); err != nil {
			t.Fatal(err)
		}
	}
	r.offset.Add(int64(119 * time.Minute)) // but not for ever
	r.offset.Add(int64(7 * time.Minute))
	_, err = r.Session(ctx, s.Token, browser)
	r.refused(err, fault.Unauthenticated, account.CodeSession)
	_, err = r.Session(ctx, "", browser)
	r.refused(err, fault.Unauthenticated, account.CodeSession)
	r.must(r.Purge(ctx))
}

func TestUnusedSessionEnds(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	s, _, _ := r.setUp()
	r.offset.Add(int64(121 * time.Minute))
	_, err := r.Session(t.Context(), s.Token, browser)
	r.refused(err, fault.Unauthenticated, account.CodeSession)
}

func TestLockedAccountIsLoggedOut(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	ctx := t.Context()
	s, _, _ := r.setUp()
	if err := r.Lock(ctx, "other", s.User.ID); !errors.Is(err, fault.NotFound) {
		t.Errorf("another organisation locks: %v", err)
	}
	r.must(r.Lock(ctx, "acme", s.User.ID))
	_, err := r.Session(ctx, s.Token, browser)
	r.refused(err, fault.Unauthenticated, account.CodeSession)
	_, err = r.Login(ctx, "acme", "grace@acme.example", password, browser)
	r.refused(err, fault.Unauthenticated, account.CodeLogin)
	r.must(r.Unlock(ctx, "acme", s.User.ID))
	_, err = r.Login(ctx, "acme", "grace@acme.example", password, browser)
	r.must(err)
}

func TestPasswordIsChangedAndOthersAreLoggedOut(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	ctx := t.Context()
	s, secret, _ := r.setUp()
	half, err := r.Login(ctx, "acme", "grace@acme.example", password, browser)
	r.must(err)
	r.offset.Add(int64(time.Minute))
	other, err := r.Code(ctx, half.Token, account.CodeAt(secret, r.now()), browser)
	r.must(err)
	r.refused(r.SetPassword(ctx, s.Token, "wrong", "a new and better password", browser), fault.Unauthenticated, account.CodeLogin)
	r.must(r.SetPassword(ctx, s.Token, password, "a new and better password", browser))
	_, err = r.Session(ctx, other.Token, browser)
	r.refused(err, fault.Unauthenticated, account.CodeSession)
	if _, err := r.Session(ctx, s.Token, browser); err != nil {
		t.Error(err)
	}
	_, err = r.Login(ctx, "acme", "grace@acme.example", password, browser)
	r.refused(err, fault.Unauthenticated, account.CodeLogin)
}

func TestAccountIsRefused(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	_, err := r.Create(t.Context(), grace)
	r.must(err)
	_, err = r.Create(t.Context(), grace)
	r.refused(err, fault.Conflict, account.CodeExists)
	for _, weak := range []string{"", "short", "password1234", "aaaaaaaaaaaaaaaa", "grace hopper", strings.Repeat("xy", 101), "qwertzuiop2026!", "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4"} {
		n := grace
		n.Email, n.Password = "a@acme.example", weak
		if _, err := r.Create(t.Context(), n); fault.Of(err).Code != account.CodePassword {
			t.Errorf("password %q: %v", weak, err)
		}
	}
	for _, bad := range []account.NewUser{
		{Org: "acme", Email: "no address", Name: "x", Password: password},
		{Org: "", Email: "a@b.example", Name: "x", Password: password},
		{Org: "acme", Email: "a@b.example", Name: "", Password: password},
		{Org: "acme", Email: "a@b.example", Name: "x", Role: "root", Password: password},
	} {
		if _, err := r.Create(t.Context(), bad); fault.Of(err).Kind != fault.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestOneOrganisationSeesNoAccountOfAnother(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		u, err := r.Create(t.Context(), grace)
		r.must(err)
		if _, err := r.User(t.Context(), "other", u.ID); !errors.Is(err, fault.NotFound) {
			t.Errorf("user: %v", err)
		}
		if list, err := r.Users(t.Context(), "other"); err != nil || len(list) != 0 {
			t.Errorf("users: %v, %v", list, err)
		}
		if err := r.SetLang(t.Context(), "other", u.ID, "de"); !errors.Is(err, fault.NotFound) {
			t.Errorf("language: %v", err)
		}
		twin := grace
		twin.Org = "other"
		if _, err := r.Create(t.Context(), twin); err != nil {
			t.Errorf("the same address elsewhere: %v", err)
		}
		if list, err := r.Users(t.Context(), "acme"); err != nil || len(list) != 1 || list[0].ID != u.ID {
			t.Errorf("one's own: %v, %v", list, err)
		}
	})
}

// TestCodesAreThoseOfTheStandard takes the values of RFC 6238, appendix B, cut to
// six digits.
func TestCodesAreThoseOfTheStandard(t *testing.T) {
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got := account.CodeAt([]byte("12345678901234567890"), time.Unix(at, 0)); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}
