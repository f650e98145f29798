package desk

import (
	"net/http"
	"net/mail"
	"strconv"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/relyingparty/request"
)

// signerForm is a signer as the form has it.
type signerForm struct {
	N                        int // from 1
	First, Last              bool
	Name, Email, Phone, Lang string
	Level, Factor            string
	Wrong                    string
	Field                    string // the one that is wrong: name, email or phone
}

func (g signerForm) empty() bool { return g.Name == "" && g.Email == "" && g.Phone == "" }

func (d *Desk) signersPage(w http.ResponseWriter, r *http.Request, s *seat) error {
	data, err := d.open(w, r, s)
	if data == nil {
		return err
	}
	for _, g := range data.Signers {
		data.Signing = append(data.Signing, signerForm{
			Name: g.Name, Email: g.Email, Phone: g.Phone, Lang: g.Lang, Level: string(g.Level), Factor: string(g.Factor),
		})
	}
	return d.signersView(w, s, http.StatusOK, data)
}

func (d *Desk) signersView(w http.ResponseWriter, s *seat, status int, data *draft) error {
	if len(data.Signing) == 0 {
		data.Signing = []signerForm{{Lang: s.l.Lang()}}
	}
	for i := range data.Signing {
		g := &data.Signing[i]
		g.N, g.First, g.Last = i+1, i == 0, i == len(data.Signing)-1
	}
	data.Step = 2
	return d.draftView(w, s, status, "signers", data)
}

// most is how many signers the form reads.
const most = 100

// posted reads the form's signers.
func posted(r *http.Request) (list []signerForm) {
	for i := 1; i <= most; i++ {
		n := strconv.Itoa(i)
		if !r.PostForm.Has("name" + n) {
			break
		}
		v := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name + n)) }
		list = append(list, signerForm{Name: v("name"), Email: v("email"), Phone: v("phone"), Lang: v("lang"), Level: v("level"), Factor: v("factor")})
	}
	return list
}

// signers keeps the signers, or changes the form: which button was pressed decides.
func (d *Desk) signers(w http.ResponseWriter, r *http.Request, s *seat) error {
	data, err := d.open(w, r, s)
	if data == nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return fault.New(fault.Invalid, "the form cannot be read").Because(err)
	}
	data.Signing = posted(r)
	act, at, _ := strings.Cut(r.PostForm.Get("do"), ".")
	n, _ := strconv.Atoi(at) // 0 is none
	switch {
	case act == "add":
		data.Signing = append(data.Signing, signerForm{Lang: s.l.Lang()})
		return d.signersView(w, s, http.StatusOK, data)
	case n < 0 || n > len(data.Signing):
		return fault.New(fault.Invalid, "there is no such signer in the form")
	case act == "remove" && n > 0:
		data.Signing = append(data.Signing[:n-1], data.Signing[n:]...)
		return d.signersView(w, s, http.StatusOK, data)
	case act == "up" && n > 1:
		data.Signing[n-1], data.Signing[n-2] = data.Signing[n-2], data.Signing[n-1]
		return d.signersView(w, s, http.StatusOK, data)
	}
	return d.keepSigners(w, r, s, data)
}

// keepSigners checks and keeps the signers, and goes on.
func (d *Desk) keepSigners(w http.ResponseWriter, r *http.Request, s *seat, data *draft) error {
	var list []request.NewSigner
	wrong := false
	for i := range data.Signing {
		g := &data.Signing[i]
		if g.empty() && len(data.Signing) > 1 {
			continue
		}
		check(g, s)
		wrong = wrong || g.Wrong != ""
		list = append(list, request.NewSigner{
			Name: g.Name, Email: g.Email, Phone: g.Phone, Lang: g.Lang, Level: request.Level(g.Level), Factor: request.Factor(g.Factor),
		})
	}
	if wrong {
		return d.signersView(w, s, http.StatusUnprocessableEntity, data)
	}
	if err := d.config.Requests.SetSigners(r.Context(), s.sender, data.ID, list); err != nil {
		if !refusedHere(err) {
			return err
		}
		web.Fail(r.Context(), err)
		data.Wrong = s.say.Explain(err)
		return d.signersView(w, s, http.StatusUnprocessableEntity, data)
	}
	redirect(w, data.Base+"/review")
	return nil
}

// check says what is wrong with a signer, beside the field.
func check(g *signerForm, s *seat) {
	a, err := mail.ParseAddress(g.Email)
	switch {
	case g.Name == "":
		g.Wrong, g.Field = s.l.T("signers.name.wrong"), "name"
	case err != nil || a.Address != g.Email:
		g.Wrong, g.Field = s.l.T("signers.email.wrong"), "email"
	case g.Factor == string(request.SMSCode) && !strings.HasPrefix(g.Phone, "+"):
		g.Wrong, g.Field = s.l.T("signers.phone.wrong"), "phone"
	}
}
