package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Dial runs the agent's side of a tunnel over w: the handshake, Hello, Welcome. The
// caller then calls Run. A refusal of the hub is an *Error, with the *CloseError that
// says when to come back beside it in the chain. On failure w is closed.
func Dial(ctx context.Context, w Wire, own Keys, hubKey []byte, hubName string, hello Hello, h Handler) (*Link, Welcome, error) {
	stop := context.AfterFunc(ctx, func() { _ = w.Close(CloseNormal, "") })
	defer stop()
	l, welcome, err := dial(w, own, hubKey, hubName, hello, h)
	if err != nil {
		_ = w.Close(CloseNormal, "")
		return nil, Welcome{}, err
	}
	return l, welcome, nil
}

func dial(w Wire, own Keys, hubKey []byte, hubName string, hello Hello, h Handler) (*Link, Welcome, error) {
	ch, err := initiate(w, own, hubKey, hubName)
	if err != nil {
		return nil, Welcome{}, err
	}
	l := newLink(w, ch, h)
	if err := l.sendJSON(kindHello, hello); err != nil {
		return nil, Welcome{}, err
	}
	f, err := l.readOne()
	if err != nil {
		return nil, Welcome{}, err
	}
	var welcome Welcome
	switch f.kind {
	case kindError:
		refused := decodeError(f.body)
		_, err := l.readMessage() // the hub closes now, and its close code says when to come back
		return nil, Welcome{}, errors.Join(refused, err)
	case kindWelcome:
		err = json.Unmarshal(f.body, &welcome)
	default:
		err = fmt.Errorf("%w: kind %d instead of a welcome", errFrame, f.kind)
	}
	return l, welcome, err
}

// Accept runs the hub's side of a tunnel over w. admit decides, knowing the agent's
// proven static key: its *Error is told to the agent, a *CloseError in its chain
// chooses the close code (else CloseComeBack). On failure w is closed.
func Accept(ctx context.Context, w Wire, own Keys, hubName string,
	admit func(ctx context.Context, agentKey []byte, hello Hello) (Welcome, error), h Handler,
) (*Link, Hello, error) {
	stop := context.AfterFunc(ctx, func() { _ = w.Close(CloseComeBack, "") })
	defer stop()
	l, hello, err := accept(ctx, w, own, hubName, admit, h)
	if err != nil {
		code, reason := CloseComeBack, "not admitted"
		var ce *CloseError
		if errors.As(err, &ce) {
			code, reason = ce.Code, ce.Reason
		}
		_ = w.Close(code, reason)
		return nil, hello, err
	}
	return l, hello, nil
}

func accept(ctx context.Context, w Wire, own Keys, hubName string,
	admit func(context.Context, []byte, Hello) (Welcome, error), h Handler,
) (*Link, Hello, error) {
	var hello Hello
	ch, key, err := respond(w, own, hubName)
	if err != nil {
		return nil, hello, err
	}
	l := newLink(w, ch, h)
	f, err := l.readOne()
	if err != nil {
		return nil, hello, err
	}
	if f.kind != kindHello {
		return nil, hello, fmt.Errorf("%w: kind %d instead of a hello", errFrame, f.kind)
	}
	if err := json.Unmarshal(f.body, &hello); err != nil {
		return nil, hello, fmt.Errorf("%w: hello: %w", errFrame, err)
	}
	welcome, err := admit(ctx, key, hello)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			_ = l.sendJSON(kindError, e)
		}
		return nil, hello, err
	}
	return l, hello, l.sendJSON(kindWelcome, welcome)
}

func (l *Link) sendJSON(k frameKind, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.out.add(frame{kind: k, body: body}, false)
}

// readOne returns the only frame of the next message.
func (l *Link) readOne() (frame, error) {
	msg, err := l.readMessage()
	if err != nil {
		return frame{}, err
	}
	f, rest, err := nextFrame(msg)
	if err == nil && (len(rest) > 0 || f.flags&flagMore != 0) {
		err = fmt.Errorf("%w: more than one frame before the link is open", errFrame)
	}
	return f, err
}
