<?php
require "greeting.php";

greet("module");
