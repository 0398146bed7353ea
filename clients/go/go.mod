module keywright.internal/keywright

go 1.22
