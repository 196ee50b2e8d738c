package webhook

import (
	"context"

	"github.com/postern-id/postern/hub/store"
)

// A GivenPicture is a picture that somebody gave for their badge.
type GivenPicture struct {
	Person  string // by the name that the audit log uses
	Subject string
	Request string // by which they proved who they are
	Name    string // that they proved
	URL     string // where the picture is for a quarter of an hour
	SHA256  string // of the picture, in base64
	Error   string // why it was refused, for administrators; "": it was taken
}

// pictureBody is the wire type WebhookPayloadPicture.
type pictureBody struct {
	EventType Event  `json:"event_type"`
	Kind      string `json:"kind"`
	Subject   string `json:"subject"`
	Request   string `json:"request"`
	Name      string `json:"name"`
	URL       string `json:"url"`
	SHA256    string `json:"sha256"`
	Error     string `json:"error,omitempty"`
}

// badgeKind is the only kind of picture that there is.
const badgeKind = "badge"

// PictureGiven queues the event picture in the caller's transaction.
func (h *Hooks) PictureGiven(ctx context.Context, tx *store.Tx, env string, p GivenPicture) error {
	return queue(ctx, tx, env, Picture, whom{p.Person, p.Request}, pictureBody{Picture, badgeKind, p.Subject, p.Request, p.Name, p.URL, p.SHA256, p.Error})
}
