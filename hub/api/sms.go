package api

import (
	"context"
	"encoding/json"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/smscode"
)

// getSMS shows how an environment sends text messages, without secrets; {} if it sends
// none.
func getSMS(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	body, err := tx.SMSSettings(ctx, c.env.ID)
	if err != nil || body == nil {
		return smscode.Settings{}, err
	}
	var s smscode.Settings
	err = json.Unmarshal(body, &s)
	return s.Shown(), err
}

// setSMS replaces how an environment sends text messages, secrets included: what was
// kept is never sent to an address that came later.
func setSMS(ctx context.Context, c *call, tx *store.Tx, s *smscode.Settings) (any, error) {
	if err := s.Check(); err != nil {
		return nil, bad(plainError(err))
	}
	c.detail = map[string]any{"request": map[string]any{"sms": s.Shown()}}
	return nil, tx.SetSMSSettings(ctx, c.env.ID, []byte(store.JSON(s)))
}

// removeSMS ends the sending of text messages.
func removeSMS(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"request": map[string]any{"sms": nil}}
	return nil, tx.SetSMSSettings(ctx, c.env.ID, nil)
}
