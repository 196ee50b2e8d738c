package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// recoverTimeout bounds the blocking question, name resolution included: a person is
// waiting, and no answer is a no.
const recoverTimeout = 10 * time.Second

// Fresh is how long an answer may be acted on: the question is asked just before the
// operation, never stockpiled (T23).
const Fresh = 60 * time.Second

// Bounds of what a receiver may put before a person.
const maxMessage = 1000 // runes

// FailedMessage is shown when a receiver did not answer as agreed. The public documents
// fix how it begins.
const FailedMessage = "A custom integration failed, so nothing was changed. Please try again later, or ask your help desk."

// Bounds of many questions that are put together: how many are under way at once, and how
// long all of them may take, in patience with one. That is far below Fresh, so that the
// first answer still counts when the last one is in.
const (
	askedAtOnce = 16
	manyLast    = 3
)

// A Question describes the operation, or the binding of an account, that is about to be
// carried out.
type Question struct {
	Trace      string // the recovery, or the call that binds: for the history
	Subject    string // person; "" if unknown
	Language   string // Accept-Language of whoever would read a no
	Directory  string
	ExternalID string // account's immutable id
	Action     protocol.Action
	Context    protocol.Context // zero: nobody gave evidence for it, as for a binding
	Trial      bool             // nothing will be changed
}

// recoverPayload is the body of the question. evidence_context and evaluation are our additions.
type recoverPayload struct {
	EventType       Event            `json:"event_type"`
	Subject         string           `json:"subject"`
	Language        string           `json:"language"`
	Directory       string           `json:"directory"`
	ExternalID      string           `json:"external_id"`
	Action          string           `json:"action"`
	OrgName         string           `json:"org_name"`
	EnvName         string           `json:"env_name"`
	Date            time.Time        `json:"date"`
	EvidenceContext protocol.Context `json:"evidence_context,omitzero"`
	Evaluation      bool             `json:"evaluation,omitempty"` // a trial
}

// A Verdict is the answer to a Question. The zero value denies.
type Verdict struct {
	allowed bool
	silent  bool
	at      time.Time
	message string
}

// Allows reports whether the operation may be carried out at this moment.
func (v Verdict) Allows(now time.Time) bool {
	age := now.Sub(v.at)
	return v.allowed && age <= Fresh && age >= -Fresh
}

// Silent reports whether the operation is denied because a receiver did not answer as
// agreed, and none said no: the same question may be put again later.
func (v Verdict) Silent() bool { return v.silent }

// Message is what the person is told when the answer is no.
func (v Verdict) Message() string { return v.message }

// Asks reports whether an environment has a webhook that is asked.
func (h *Hooks) Asks(ctx context.Context, tx *store.Tx, env string) (bool, error) {
	hooks, err := subscribed(ctx, tx, env, Recover)
	return len(hooks) > 0, err
}

// Ask puts the question to every webhook of the environment that subscribes to recover,
// once and within ten seconds. Every one has to agree: anything but an answer with status
// 200 and without deny_user_message is a no. An error says that not even the webhooks
// could be read; the verdict denies then too. What was asked and answered stands in the
// history.
func (h *Hooks) Ask(ctx context.Context, env string, q Question) (Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	all, err := h.askEach(ctx, env, []Question{q})
	return all[0], err
}

// AskEach puts many questions as Ask puts one, a few at a time and all of them within half
// a minute. The verdicts stand in the order of the questions; what could not be asked in
// time is denied, and Silent.
func (h *Hooks) AskEach(ctx context.Context, env string, all []Question) ([]Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, manyLast*h.patience)
	defer cancel()
	return h.askEach(ctx, env, all)
}

// askEach puts questions until ctx ends.
func (h *Hooks) askEach(ctx context.Context, env string, all []Question) ([]Verdict, error) {
	verdicts := slices.Repeat([]Verdict{unanswered}, len(all))
	round, err := h.round(ctx, env, all)
	if err != nil {
		return verdicts, err
	}
	if len(round.hooks) == 0 {
		return slices.Repeat([]Verdict{{allowed: true, at: h.now()}}, len(all)), nil
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(askedAtOnce, len(all)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				verdicts[i] = h.put(ctx, round, i)
			}
		})
	}
	wg.Wait() // every one ends with ctx
	return verdicts, nil
}

// unanswered is the verdict on what nobody was asked.
var unanswered = Verdict{message: FailedMessage, silent: true}

// A round is what questions to one environment are put with.
type round struct {
	env       string
	hooks     []store.Webhook
	names     store.Names
	secrets   store.WebhookSecrets
	questions []Question
	persons   []string // of each question, as the audit log names them
}

// round reads whom to ask. Without anybody the rest of it is not read.
func (h *Hooks) round(ctx context.Context, env string, all []Question) (r round, err error) {
	r.env, r.questions = env, all
	err = h.store.Read(ctx, func(tx *store.Tx) (err error) {
		r.persons = nil
		if r.hooks, err = subscribed(ctx, tx, env, Recover); err != nil || len(r.hooks) == 0 {
			return err
		}
		if r.names, err = tx.EnvironmentNames(ctx, env); err != nil {
			return err
		}
		for _, q := range all {
			person, err := personOf(ctx, tx, env, q.Directory, q.ExternalID)
			if err != nil {
				return err
			}
			r.persons = append(r.persons, person)
		}
		return nil
	})
	if err == nil && len(r.hooks) > 0 {
		r.secrets, err = h.store.WebhookSecrets(ctx, env)
	}
	return r, err
}

// put puts one question of a round.
func (h *Hooks) put(ctx context.Context, r round, i int) Verdict {
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	q := r.questions[i]
	body, _ := json.Marshal(recoverPayload{ // texts, times and truths always marshal
		EventType: Recover, Subject: q.Subject, Language: q.Language, Directory: q.Directory, ExternalID: q.ExternalID,
		Action: protocol.RecoveryKind(q.Action), OrgName: r.names.Org, EnvName: r.names.Env, Date: h.now().UTC(), EvidenceContext: q.Context, Evaluation: q.Trial,
	})
	answers := h.askAll(ctx, r.hooks, r.secrets, store.Delivery{Env: r.env, Event: string(Recover), Trace: q.Trace, Person: r.persons[i], Body: string(body)})
	h.remember(ctx, answers)
	return h.judge(answers)
}

// personOf returns how the audit log names the person of an account, "" for one that is
// not known.
func personOf(ctx context.Context, tx *store.Tx, env, directory, account string) (string, error) {
	a, err := tx.AccountOf(ctx, env, directory, account)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return a.ID, err
}

// An opinion is what one webhook made of a question.
type opinion struct {
	says  string // "": yes; FailedMessage: it did not answer as agreed
	asked store.Delivery
	came  store.Try
}

// askAll asks at the same time, and returns the opinions in the order of creation.
func (h *Hooks) askAll(ctx context.Context, hooks []store.Webhook, secrets store.WebhookSecrets, about store.Delivery) []opinion {
	all := make([]opinion, len(hooks))
	var wg sync.WaitGroup
	for i, w := range hooks {
		wg.Go(func() {
			d := about
			d.ID, d.Webhook = store.NewID(), w.ID
			says, came := h.ask(ctx, w, postOf(w, d, secrets))
			all[i] = opinion{says, d, came}
		})
	}
	wg.Wait() // every one ends with ctx
	return all
}

// judge returns the first no. A receiver that says no weighs more than one that is
// silent.
func (h *Hooks) judge(all []opinion) Verdict {
	v := Verdict{allowed: true, at: h.now()}
	for _, o := range all {
		switch o.says {
		case "":
		case FailedMessage:
			v = unanswered
		default:
			return Verdict{message: o.says}
		}
	}
	return v
}

// remember writes the opinions into the history. They are acted on although it fails.
func (h *Hooks) remember(ctx context.Context, all []opinion) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWrite)
	defer cancel()
	err := h.store.Tx(ctx, func(tx *store.Tx) error {
		for _, o := range all {
			if err := tx.AddDelivered(ctx, o.asked, o.came); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.log.WarnContext(ctx, "the history lacks what recover webhooks were asked", "err", err)
	}
}

// ask returns "" for yes, or what the person is told: FailedMessage where nobody said no.
func (h *Hooks) ask(ctx context.Context, w store.Webhook, p post) (string, store.Try) {
	a, came, err := h.exchange(ctx, p)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("status %d", a.status)
	}
	denied, message := false, ""
	if err == nil {
		if denied, message, err = readAnswer(a); err != nil {
			err = errors.New("the answer is malformed JSON")
		}
	}
	switch {
	case err != nil:
		came.Attempt.Error = err.Error()
		h.log.WarnContext(ctx, "recover webhook failed, so what it was asked is refused", "env", w.Env, "webhook", w.ID, "status", a.status, "err", err)
		return FailedMessage, came
	case denied:
		h.log.InfoContext(ctx, "recover webhook refused what it was asked", "env", w.Env, "webhook", w.ID)
		return message, came
	}
	return "", came
}

// readAnswer reads deny_user_message of a JSON answer. A body of another type, or none,
// says nothing against the recovery.
func readAnswer(a answer) (denied bool, message string, err error) {
	if !a.json || len(a.body) == 0 {
		return false, "", nil
	}
	var v struct {
		Deny *string `json:"deny_user_message"`
	}
	if err := json.Unmarshal(a.body, &v); err != nil || v.Deny == nil {
		return false, "", err
	}
	return true, firstNonEmpty(plainText(*v.Deny), "The organisation's own check refused this."), nil
}

// plainText keeps what a page can show as text: line breaks, no other control or format
// characters, a bounded length.
func plainText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return -1
	}, s)
	if runes := []rune(s); len(runes) > maxMessage {
		s = string(runes[:maxMessage]) + "…"
	}
	return strings.TrimSpace(s)
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
