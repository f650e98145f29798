package e2e_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
	"github.com/countersign/countersign/signing"
)

// appPerson makes the tab's browser the device of a new signer, on the page that the
// link leads to.
func (s *approvalSite) appPerson(b *approvalTab) *samtest.Person {
	s.t.Helper()
	p := s.Enrolled(samapi.DeviceKey)
	e, code := s.Ticket(p)
	b.goTo(s.local(e.URL))
	b.sees("Add this device")
	b.types("#code", strings.ToLower(code))
	b.types("#name", "Ada’s phone")
	b.types("#pin", samtest.PIN)
	b.types("#pin2", samtest.PIN)
	b.click("#add")
	b.sees("This device was added")
	s.Certify(p, samtest.Wish{})
	return p
}

// phoneOf is the device that the tab was enrolled as.
func (s *approvalSite) phoneOf(p *samtest.Person) samapi.Device {
	s.t.Helper()
	all, err := s.Devices(s.t.Context(), p.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range all {
		if d.Name == "Ada’s phone" {
			return d
		}
	}
	s.t.Fatalf("no phone among %+v", all)
	return samapi.Device{}
}

// opens goes from the list to the request.
func (b *approvalTab) opens(q *samtest.Pending) {
	b.t.Helper()
	b.click(`a[href="/app/r/` + q.SID + `"]`)
	b.sees("Do these words match the other screen?")
}

func (b *approvalTab) list(s *approvalSite) {
	b.t.Helper()
	b.goTo(s.base + "/app/")
	b.sees("This device")
}

func TestAppShowsWhatWaitsAndApproves(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	b.goTo(s.base + "/app/")
	b.sees("This browser is no device yet")
	b.looksRight("app-none")
	t.Run("weak or different PINs are refused before anything is sent", func(t *testing.T) {
		e, code := s.Ticket(s.Enrolled(samapi.DeviceKey))
		b.goTo(s.local(e.URL))
		b.types("#code", code)
		b.types("#name", "x")
		b.types("#pin", "123456")
		b.types("#pin2", "123456")
		b.click("#add")
		b.sees("Choose 6 to 12 digits")
		b.types("#pin", samtest.PIN)
		b.click("#add")
		b.sees("The two PINs differ")
		b.looksRight("enrol-device")
	})
	p := s.appPerson(b)
	b.looksRight("enrol-device-done")
	b.click(`a[href="/app/"]`)
	b.sees("Nothing waits for you")
	b.sees("Connected")
	b.looksRight("app-empty")

	q := s.Started(s.intentOf(p, samtest.Hash("tenancy"), samtest.Hash("rules")))
	start := time.Now()
	b.sees("1 request waits for you") // by itself
	t.Logf("the list knew after %s", time.Since(start).Round(time.Millisecond))
	b.looksRight("app-list")
	b.opens(q)
	for _, doc := range [][]byte{samtest.Hash("tenancy"), samtest.Hash("rules")} {
		w := signing.Words(doc)
		for _, word := range w {
			b.sees(word)
		}
	}
	for _, text := range []string{"Northgate Housing asks you to sign 2 documents", "Contract 2.pdf", "1.2 KB", "Stated by the sender", "Not checked", p.Subject.CommonName, "Advanced signature"} {
		b.sees(text)
	}
	if b.shows("\n" + q.Number + "\n") {
		t.Error("the app shows the number")
	}
	b.looksRight("app-request")

	b.click(`button[type="submit"]`)
	b.sees("Type the number that the other screen shows")
	b.types("#number", samtest.Wrong(q.Number))
	b.types("#pin", samtest.PIN)
	b.click(`button[type="submit"]`)
	b.sees("That is not the number on the other screen")
	b.looksRight("app-wrong-number")
	b.types("#number", q.Number)
	b.types("#pin", samtest.Wrong(samtest.PIN))
	b.click(`button[type="submit"]`)
	b.sees("The PIN is wrong")
	if got := s.state(q); got != samapi.Pending {
		t.Fatalf("after a wrong number and a wrong PIN it is %s", got)
	}
	b.types("#pin", samtest.PIN)
	b.click(`button[type="submit"]`)
	b.sees("You approved 2 documents")
	b.looksRight("app-approved")
	if got := s.state(q); got != samapi.Approved {
		t.Fatalf("it is %s", got)
	}
	b.click(`[data-do="list"]`)
	b.sees("Nothing waits for you")
	b.click("details summary")
	b.sees("Approved")
}

func TestAppRejectsAndReportsStrangers(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	p := s.appPerson(b)
	first := s.Started(s.intentOf(p, samtest.Hash("one")))
	second := s.Started(s.intentOf(p, samtest.Hash("two")))
	b.list(s)
	b.sees("2 requests wait for you")
	b.opens(first)
	b.click(`[data-do="reject"]`)
	b.sees("Reject this request?")
	b.looksRight("app-reject")
	b.types("#why", "the rent is wrong")
	b.click(`[data-do="yes"]`)
	b.sees("The request is rejected")
	if v, err := s.View(t.Context(), first.SID, first.View); err != nil || v.State != samapi.Rejected || v.Reason != "the rent is wrong" {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := s.Begin(t.Context(), s.Intent(p, samtest.Hash("again"))); fault.Of(err).Code != samapi.CodeBackOff {
		t.Errorf("asking again at once: %v", err)
	}
	b.click(`[data-do="list"]`)
	b.sees("1 request waits for you")
	b.opens(second)
	b.click(`[data-do="notme"]`)
	b.sees("You know nothing of this request?")
	b.looksRight("app-not-me")
	b.click(`[data-do="yes"]`)
	b.sees("Rejected and reported")
	b.looksRight("app-not-me-done")
	s.Clock.Add(2 * time.Hour)
	if _, err := s.Begin(t.Context(), s.Intent(p, samtest.Hash("again"))); fault.Of(err).Code != samapi.CodeClientBlocked {
		t.Errorf("asking again after “this was not me”: %v", err)
	}
	events := strings.Join(s.Events(second.SID), " ")
	for _, want := range []string{"sad.rejected", "client.blocked", "sad.disowned"} {
		if !strings.Contains(events, want) {
			t.Errorf("no event %s in %s", want, events)
		}
	}
	lift := samapi.LiftBlock{Order: s.Order(), Signer: p.ID, Client: samtest.Client, Reason: "the signer was asked"}
	if err := s.LiftBlock(t.Context(), s.Seal(samapi.DomainLiftBlock, lift)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Begin(t.Context(), s.Intent(p, samtest.Hash("again"))); err != nil {
		t.Errorf("asking again after the block was lifted: %v", err)
	}
}

// TestAppComputesTheDigestOfTheDocument gives the app the file itself: what it says
// of it stands in the log under the device's key.
func TestAppComputesTheDigestOfTheDocument(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	p := s.appPerson(b)
	before, after := "%PDF-1.7\n1 0 obj<</ByteRange [0 00000 00000 00000]/Contents ", ">>endobj\n%%EOF\n"
	hole := "<" + strings.Repeat("0", 64) + ">"
	file := strings.Replace(before+hole+after, "[0 00000 00000 00000]", byteRange(len(before), len(hole), len(after)), 1)
	covered := []byte(file[:len(before)] + file[len(before)+len(hole):])
	q := s.Started(s.intentOf(p, samtest.Hash(string(covered))))
	dir := t.TempDir()
	own, other, stuffed := filepath.Join(dir, "own.pdf"), filepath.Join(dir, "other.pdf"), filepath.Join(dir, "stuffed.pdf")
	for name, text := range map[string]string{
		own: file, other: strings.Replace(file, "1 0 obj", "2 0 obj", 1),
		// The signed bytes are the same, and between them stands more than a signature.
		stuffed: strings.Replace(file, hole, "<"+strings.Repeat("0", 40)+">endobj more <"+strings.Repeat("0", 10)+">", 1),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.list(s)
	b.opens(q)
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('[data-part="own"]').open = true`))
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#own"), []string{other}))
	b.sees("This file is none of the documents")
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('[data-text="own"]').forEach((e) => { e.textContent = ""; }); 0`))
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#own"), []string{stuffed}))
	b.sees("This file is none of the documents")
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#own"), []string{own}))
	b.sees("Checked on this device: this file is Contract 1.pdf")
	b.looksRight("app-own-document")
	b.types("#number", q.Number)
	b.types("#pin", samtest.PIN)
	b.click(`button[type="submit"]`)
	b.sees("You approved 1 document")
	if err := s.Audit.Sequence(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := s.Audit.Records(t.Context(), audit.Filter{SID: q.SID, Type: "sad.approved"})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d approvals in the log, %v", len(all), err)
	}
	var said struct {
		Evidence struct {
			StatedByDevice struct {
				Wysiwys int
				Signed  *samapi.SignedStatement
			}
		}
	}
	if err := json.Unmarshal(all[0].Data, &said); err != nil || said.Evidence.StatedByDevice.Wysiwys != 2 || said.Evidence.StatedByDevice.Signed == nil {
		t.Errorf("the log has %s, %v", all[0].Data, err)
	}
}

func byteRange(before, hole, after int) string {
	s := "[0 " + pad(before) + " " + pad(before+hole) + " " + pad(after) + "]"
	return s
}

func pad(n int) string {
	s := "00000" + string([]byte{byte('0' + n/1000%10), byte('0' + n/100%10), byte('0' + n/10%10), byte('0' + n%10)})
	return s[len(s)-5:]
}

func TestAppOfARevokedDeviceIsRefused(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	p := s.appPerson(b)
	q := s.Started(s.intentOf(p, samtest.Hash("x")))
	b.list(s)
	b.opens(q)
	// What was decided elsewhere is shown on the page that is open.
	gone := s.Started(s.intentOf(p, samtest.Hash("gone")))
	b.goTo(s.base + "/app/r/" + gone.SID)
	b.sees("Do these words match the other screen?")
	if err := s.Reject(t.Context(), gone.SID, gone.View, "changed my mind"); err != nil {
		t.Fatal(err)
	}
	b.sees("This request is decided already")
	b.goTo(s.base + "/app/r/" + q.SID)
	b.sees("Do these words match the other screen?")
	order := samapi.RevokeDevice{Order: s.Order(), Authenticator: s.phoneOf(p).ID, Reason: "lost"}
	if err := s.RevokeDevice(t.Context(), s.Seal(samapi.DomainRevokeDevice, order)); err != nil {
		t.Fatal(err)
	}
	b.types("#number", q.Number)
	b.types("#pin", samtest.PIN)
	b.click(`button[type="submit"]`)
	b.sees("This device was removed")
	b.looksRight("app-revoked")
	if got := s.state(q); got != samapi.Pending {
		t.Errorf("the request is %s", got)
	}
	b.goTo(s.base + "/app/")
	b.sees("This device was removed")
	b.click(`[data-do="forget"]`)
	b.sees("This browser is no device yet")
}

func TestSignerRemovesTheirOwnDevice(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	p := s.appPerson(b)
	b.list(s)
	b.click(`[data-do="remove"]`)
	b.sees("Remove this device?")
	b.looksRight("app-remove")
	b.click(`[data-do="yes"]`)
	b.sees("This browser is no device yet")
	if d := s.phoneOf(p); d.State != "revoked" {
		t.Errorf("the device is %s", d.State)
	}
}

// TestDeviceKeyStaysAndSessionsAreNotRepeated looks into the browser: the key cannot
// be read, the service worker keeps no answers, and what opened a session opens no
// second one.
func TestDeviceKeyStaysAndSessionsAreNotRepeated(t *testing.T) {
	s := newApprovalSite(t)
	b := s.open(chromium(t))
	p := s.appPerson(b)
	q := s.Started(s.intentOf(p, samtest.Hash("x")))
	b.list(s)
	b.opens(q)
	got := eval[string](b, `new Promise((done) => {
		const r = indexedDB.open("countersign-device", 1);
		r.onsuccess = () => {
			const all = r.result.transaction("keys").objectStore("keys").getAll();
			all.onsuccess = async () => {
				const k = all.result[0].key;
				for (const form of ["pkcs8", "jwk", "raw"]) {
					try { await crypto.subtle.exportKey(form, k); done("exported as " + form); return; } catch (e) { if (e.name !== "InvalidAccessError") { done(form + ": " + e.name); return; } }
				}
				done(k.type + " " + k.extractable + " " + k.usages);
			};
		};
	})`)
	if got != "private false sign" {
		t.Errorf("the key is %s", got)
	}
	kept := eval[string](b, `navigator.serviceWorker.ready.then(() => fetch("/app/api/inbox")).then(() => caches.keys()).then(async (names) => {
		const out = [];
		for (const n of names) for (const r of await (await caches.open(n)).keys()) out.push(new URL(r.url).pathname);
		return out.join(" ");
	})`)
	for _, secret := range []string{"/api/", "/a/", "/p/", "/enrol/"} {
		if strings.Contains(kept, secret) {
			t.Errorf("the service worker keeps %s", kept)
		}
	}
	body := eval[string](b, `(async () => {
		const post = (path, v) => fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(v)});
		const k = await new Promise((done) => { const r = indexedDB.open("countersign-device", 1); r.onsuccess = () => { const all = r.result.transaction("keys").objectStore("keys").getAll(); all.onsuccess = () => done(all.result[0]); }; });
		const n = await (await post("/app/api/nonce", {})).json();
		const data = new TextEncoder().encode("countersign-device-session-v1\u0000" + JSON.stringify({v: 1, module: n.module, authenticator: k.authenticator, nonce: n.nonce}));
		const raw = new Uint8Array(await crypto.subtle.sign({name: "ECDSA", hash: "SHA-256"}, k.key, data));
		const int = (b) => { let i = 0; while (i < 31 && b[i] === 0) i++; const v = [...b.slice(i)]; if (v[0] & 128) v.unshift(0); return [2, v.length, ...v]; };
		const seq = [...int(raw.slice(0, 32)), ...int(raw.slice(32))];
		return JSON.stringify({authenticator: k.authenticator, nonce: n.nonce, signature: btoa(String.fromCharCode(48, seq.length, ...seq))});
	})()`)
	for i, want := range []int{http.StatusOK, http.StatusUnauthorized} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.Replace(s.base, "approve.localhost", "127.0.0.1", 1)+"/app/api/session", bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("opening a session the %d. time: status %d, want %d", i+1, res.StatusCode, want)
		}
	}
}
