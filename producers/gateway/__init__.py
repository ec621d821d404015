"""The HTTP gateway: uploads, states of imports and the admin pages. It opens no database."""
