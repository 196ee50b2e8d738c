// Package directory keeps what the hub knows of each directory: its accounts in step
// with what agents list, and the settings that administrators made. It decides nothing
// about a recovery.
package directory
