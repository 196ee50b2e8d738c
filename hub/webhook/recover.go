package webhook

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
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

// A Question describes the operation that is about to be carried out.
type Question struct {
	Subject    string // person; "" if unknown
	Language   string // Accept-Language of the browser
	Directory  string
	ExternalID string // account's immutable id
	Action     protocol.Action
	Context    protocol.Context
	Trial      bool // nothing will be changed
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
	EvidenceContext protocol.Context `json:"evidence_context"`
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

// Ask puts the question to every webhook of the environment that subscribes to recover,
// once and within ten seconds. Every one has to agree: anything but an answer with status
// 200 and without deny_user_message is a no. An error says that not even the webhooks
// could be read; the verdict denies then too.
func (h *Hooks) Ask(ctx context.Context, env string, q Question) (Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, h.answer)
	defer cancel()
	var hooks []store.Webhook
	var names store.Names
	err := h.store.Read(ctx, func(tx *store.Tx) (err error) {
		if hooks, err = subscribed(ctx, tx, env, Recover); err == nil {
			names, err = tx.EnvironmentNames(ctx, env)
		}
		return err
	})
	if err != nil {
		return Verdict{message: FailedMessage}, err
	}
	if len(hooks) == 0 {
		return Verdict{allowed: true, at: h.now()}, nil
	}
	row, _ := protocol.ActionByName(q.Action)
	body, err := json.Marshal(recoverPayload{
		EventType: Recover, Subject: q.Subject, Language: q.Language, Directory: q.Directory, ExternalID: q.ExternalID,
		Action: row.RecoveryKind, OrgName: names.Org, EnvName: names.Env, Date: h.now().UTC(), EvidenceContext: q.Context, Evaluation: q.Trial,
	})
	if err != nil {
		return Verdict{message: FailedMessage}, err
	}
	return h.askAll(ctx, env, hooks, body)
}

// askAll asks at the same time and returns the first no in the order of creation. A
// receiver that says no weighs more than one that is silent.
func (h *Hooks) askAll(ctx context.Context, env string, hooks []store.Webhook, body []byte) (Verdict, error) {
	secret, err := h.store.WebhookSecret(ctx, env)
	if err != nil {
		return Verdict{message: FailedMessage}, err
	}
	at := h.now()
	answers := make([]string, len(hooks))
	var wg sync.WaitGroup
	for i, w := range hooks {
		wg.Go(func() { answers[i] = h.ask(ctx, w, post{w.URL, w.Authorization, store.NewID(), secret, body}) })
	}
	wg.Wait() // every one ends with ctx
	silent := false
	for _, no := range answers {
		if no != "" && no != FailedMessage {
			return Verdict{message: no}, nil
		}
		silent = silent || no != ""
	}
	if silent {
		return Verdict{message: FailedMessage, silent: true}, nil
	}
	return Verdict{allowed: true, at: at}, nil
}

// ask returns "" for yes, or what the person is told: FailedMessage where nobody said no.
func (h *Hooks) ask(ctx context.Context, w store.Webhook, p post) string {
	a, err := h.sender.send(ctx, p, h.now())
	if err != nil || a.status != http.StatusOK {
		h.log.WarnContext(ctx, "recover webhook failed, so the recovery is refused", "env", w.Env, "webhook", w.ID, "status", a.status, "err", err)
		return FailedMessage
	}
	denied, message, err := readAnswer(a)
	if err != nil {
		h.log.WarnContext(ctx, "recover webhook answered with malformed json, so the recovery is refused", "env", w.Env, "webhook", w.ID)
		return FailedMessage
	}
	if denied {
		h.log.InfoContext(ctx, "recover webhook refused a recovery", "env", w.Env, "webhook", w.ID)
		return message
	}
	return ""
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
