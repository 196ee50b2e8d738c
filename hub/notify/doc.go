// Package notify sends mail: codes at once, notices to the owners of accounts from an
// outbox that loses none. It knows no recovery's state and decides nothing.
package notify
