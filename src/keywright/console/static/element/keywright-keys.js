customElements.get('keywright-keys')
