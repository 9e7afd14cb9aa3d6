<?php
echo "never"
echo "never"; // HERE
