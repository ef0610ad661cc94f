"""The one page: a terminal in the browser, drawn by textual-serve's script; nothing from elsewhere.

The script takes the websocket's address and the font's size from the element, and marks the body
once the first screen is there and when the websocket has closed.
"""

from typing import Final

PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>pmpro</title>
<link rel="stylesheet" href="/static/css/xterm.css">
<link rel="stylesheet" href="/page.css">
<script src="/static/js/textual.js"></script>
</head>
<body>
<p id="opening">Opening the console</p>
<p id="ended">The console has ended. <a href="/">Open another</a></p>
<div id="terminal" class="textual-terminal" data-session-websocket-url="ws://{host}/ws"
 data-font-size="{font_size}"></div>
</body>
</html>
"""

STYLE: Final = """@font-face {
  font-family: "Roboto Mono";
  src: url("/static/fonts/RobotoMono-VariableFont_wght.ttf");
}
body { margin: 0; background: #101418; color: #d0d4d8; font: 16px "Roboto Mono", monospace; }
p { position: absolute; top: 40%; width: 100%; text-align: center; }
a { color: inherit; }
#ended, body.-first-byte #opening, body.-closed #opening { display: none; }
body.-closed #ended { display: block; }
.textual-terminal { width: 100vw; height: 100vh; }
body.-closed .textual-terminal { display: none; }
"""
