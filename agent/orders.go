package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/protocol"
)

// Local orders: what the administrator of this machine tells a running agent. An order
// is an empty file in a folder of the agent's own, its words are the file's name, so
// that it does not matter whose file it is. Orders take away, or decide what only this
// machine may.
const (
	ordersDir   = "orders"
	orderCancel = "cancel-"     // and a recovery's joined id
	orderRemove = "remove-key-" // and a passkey's hash
	orderAccept = "accept-log-" // and the hash of a head of the audit log
	ordersEvery = 2 * time.Second
)

// ErrNeverRan says that a state folder belongs to no agent that has run.
var ErrNeverRan = errors.New("no agent has run with this state folder")

// recoveryName is what a joined recovery id looks like: base64url of 32 bytes.
var recoveryName = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// OrderCancel tells the agent of a state folder to end a recovery for good. It does it
// within seconds, or when it starts, and always before it carries anything out.
func OrderCancel(state, recovery string) error {
	if !recoveryName.MatchString(recovery) {
		return fmt.Errorf("%q is no recovery's id", recovery)
	}
	return give(state, orderCancel+recovery)
}

// OrderKeyRemoval tells the agent of a state folder to forget a passkey, by its hash.
func OrderKeyRemoval(state string, hash []byte) error {
	if len(hash) != 32 {
		return errors.New("a passkey's hash has 32 bytes")
	}
	return give(state, orderRemove+hex.EncodeToString(hash))
}

// OrderAcceptLog tells the agent of a state folder to go on with the history of the audit
// log that stopped it, if hash is still that of its head.
func OrderAcceptLog(state, hash string) error {
	if text, err := hex.DecodeString(hash); err != nil || len(text) != 32 {
		return errors.New("a head's hash has 64 hexadecimal digits")
	}
	return give(state, orderAccept+hash)
}

func give(state, name string) error {
	f, err := os.OpenFile(filepath.Join(state, ordersDir, name), os.O_CREATE|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNeverRan
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// takeOrders makes the folder.
func (s *service) takeOrders() error {
	err := os.Mkdir(filepath.Join(s.state, ordersDir), 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// obey does what the local administrator ordered, before anything else is decided. With
// an error, which may cross the tunnel, an order stands that could not be followed:
// nothing else is done then either, and it is tried again.
func (s *service) obey(ctx context.Context) error {
	s.orders.Lock()
	defer s.orders.Unlock()
	dir := filepath.Join(s.state, ordersDir)
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s.takeOrders()
	}
	for _, f := range list {
		if err == nil {
			err = s.follow(ctx, f.Name())
		}
		if err == nil {
			err = os.Remove(filepath.Join(dir, f.Name()))
		}
	}
	if err != nil {
		s.log.Error("a local order cannot be followed yet", "error", withoutAddresses(err.Error()))
		return protocol.Err(protocol.CodeUnavailable, "the agent cannot follow an order of its administrator; look at its log and its disk")
	}
	return nil
}

// follow carries out one order, and writes it into the event log as a request of nobody.
func (s *service) follow(ctx context.Context, name string) error {
	e := &event{Time: s.now(), Method: "local_order"}
	if id, is := strings.CutPrefix(name, orderCancel); is {
		return s.recorded(e, s.cancelHere(id, e))
	}
	if text, is := strings.CutPrefix(name, orderRemove); is {
		hash, err := hex.DecodeString(text)
		if err != nil {
			return nil
		}
		return s.removeHere(ctx, hash)
	}
	if hash, is := strings.CutPrefix(name, orderAccept); is {
		return s.recorded(e, s.acceptHere(hash, e))
	}
	s.log.Warn("there is no such local order", "order", name)
	return nil
}

// recorded writes an event with its error, and returns the error.
func (s *service) recorded(e *event, err error) error {
	s.record(e, time.Now(), err)
	return err
}

// cancelHere ends a recovery. One that ended, or was carried out, stays as it is.
func (s *service) cancelHere(id string, e *event) error {
	e.Recovery = id
	if r, err := s.journal.Recovery(id); err == nil {
		e.Account, e.Operation, e.Origin = r.Account, r.Operation, r.Origin
	}
	err := s.journal.Drop(id)
	if errors.Is(err, journal.ErrNotBegun) || errors.Is(err, journal.ErrExecuted) {
		e.refuse(journalError(err))
		return nil
	}
	return err
}

// removeHere forgets a passkey, whoever's it is.
func (s *service) removeHere(ctx context.Context, hash []byte) error {
	for _, k := range s.known.Keyring() {
		if string(k.Hash) != string(hash) {
			continue
		}
		e := &event{Time: s.now(), Method: "local_order", Account: k.Account, Operation: removalOf(hash)}
		if err := s.recorded(e, s.forgetKey(ctx, k.Account, hash)); err != nil && !errors.Is(err, known.ErrUnknown) {
			return err
		}
	}
	return nil
}

// removalOf is how a removal stands in the event log.
func removalOf(hash []byte) string {
	return string(protocol.EnrollKey) + "?remove=" + hex.EncodeToString(hash)
}
